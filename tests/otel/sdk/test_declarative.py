"""The SDK from a file of the standard's declarative configuration."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from charter_otel.otel.sdk.variables import check
from support.otlp import Received, attributes, receiving
from support.ports import free_port
from support.service import service

HEAD = """
file_format: "1.1"
resource:
  attributes:
    - {name: service.name, value: named-by-the-file}
    - {name: site, value: "${SITE:-nowhere}"}
"""

EXPORTING = (
    HEAD
    + """
tracer_provider:
  sampler: {parent_based: {root: {always_on: }}}
  processors:
    - batch: {schedule_delay: 200, exporter: {otlp_http: {endpoint: "URL/v1/traces"}}}
meter_provider:
  readers:
    - periodic: {interval: 500, exporter: {otlp_http: {endpoint: "URL/v1/metrics"}}}
logger_provider:
  processors:
    - batch: {schedule_delay: 200, exporter: {otlp_http: {endpoint: "URL/v1/logs"}}}
"""
)

BRIDGE = "    - event_to_span_event_bridge/development:\n"


@pytest.fixture
def receiver() -> Iterator[Received]:
    """Run an OTLP receiver."""
    with receiving() as received:
        yield received


PROGRAM = """
import asyncio
from charter_otel.emit import Emitter
from charter_otel.otel import build
from charter_otel.otel.sdk.providers import name_of_service

providers = build()
instrumentation = providers.instrumentation()
with instrumentation.tracer.start_as_current_span("work"):
    event = Emitter(instrumentation).emit(
        "metrics.aggregation_started", {"job_id": "nightly", "started_at": 1.5}
    )
print(name_of_service(), event.meta["correlation_id"])
asyncio.run(providers.shutdown(20))
"""


PROGRAM_WITH_ITS_OWN = """
import asyncio
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from charter_otel.emit import Emitter
from charter_otel.otel import build

records, spans, reader = InMemoryLogRecordExporter(), InMemorySpanExporter(), InMemoryMetricReader()
providers = build(
    span_processors=[SimpleSpanProcessor(spans)],
    metric_readers=[reader],
    log_processors=[SimpleLogRecordProcessor(records)],
)
instrumentation = providers.instrumentation()
with instrumentation.tracer.start_as_current_span("work"):
    Emitter(instrumentation).emit(
        "metrics.aggregation_started", {"job_id": "nightly", "started_at": 1.5}
    )
providers.meter_provider.get_meter("work").create_counter("work.done").add(1)
[resource] = reader.get_metrics_data().resource_metrics
names = [metric.name for scope in resource.scope_metrics for metric in scope.metrics]
[record], [span] = records.get_finished_logs(), spans.get_finished_spans()
print(record.log_record.event_name, span.name, "work.done" in names)
asyncio.run(providers.shutdown(20))
"""


def run(configuration: str, directory: Path, program: str = PROGRAM, **variables: str) -> list[str]:
    """Emit an event in a program with the file; return the words of the last line it prints."""
    file = directory / "otel.yaml"
    file.write_text(configuration, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, "OTEL_CONFIG_FILE": str(file), **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return ended.stdout.splitlines()[-1].split()


def resources(receiver: Received) -> set[tuple[str, str]]:
    """Return the service's name and the site of each resource that something came from."""
    found = set()
    for path, request in receiver.requests:
        signals = path.removeprefix("/v1/").replace("traces", "spans")
        [signal] = getattr(request, f"resource_{signals}")
        resource = attributes(signal.resource.attributes)
        found.add((resource["service.name"], resource["site"]))
    return found


@pytest.mark.parametrize("name", [BRIDGE, "    - event_to_span_event_bridge: {}\n"])
def test_the_file_decides_and_knows_the_bridge(
    receiver: Received, tmp_path: Path, name: str
) -> None:
    """Resource, exporters and processors are the file's, also against the other variables."""
    named, trace_id = run(
        EXPORTING.replace("URL", receiver.url) + name,
        tmp_path,
        SITE="plant-7",
        OTEL_SERVICE_NAME="named-by-a-variable",
        OTEL_TRACES_EXPORTER="none",
    )
    assert named == "named-by-the-file"
    assert {path for path, _ in receiver.requests} == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert resources(receiver) == {("named-by-the-file", "plant-7")}
    [record], [span] = receiver.log_records, receiver.spans
    assert record.event_name == "metrics.aggregation_started"
    assert record.trace_id == span.trace_id == bytes.fromhex(trace_id)
    assert [event.name for event in span.events] == ["metrics.aggregation_started"]


def test_without_the_bridge_there_are_no_span_events(receiver: Received, tmp_path: Path) -> None:
    """The file is the only source: what it does not name is not there."""
    run(EXPORTING.replace("URL", receiver.url), tmp_path)
    [record], [span] = receiver.log_records, receiver.spans
    assert (record.event_name, len(span.events)) == ("metrics.aggregation_started", 0)


@pytest.mark.parametrize(("configuration", "exported"), [(EXPORTING, 1), (HEAD, 0)])
def test_a_program_s_own_processors_and_readers_get_everything(
    receiver: Received, tmp_path: Path, configuration: str, exported: int
) -> None:
    """Beside those of the file, or without them where the file leaves the signals out."""
    told = run(configuration.replace("URL", receiver.url), tmp_path, PROGRAM_WITH_ITS_OWN)
    assert told == ["metrics.aggregation_started", "work", "True"]
    assert (len(receiver.log_records), len(receiver.spans)) == (exported, exported)


@pytest.mark.parametrize("rest", ["", "disabled: true\n"])
def test_a_signal_that_the_file_leaves_out_is_idle(
    receiver: Received, tmp_path: Path, rest: str
) -> None:
    """Nothing is exported, and the events have trace ids all the same."""
    _, trace_id = run(HEAD + rest, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert len(trace_id) == 32
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("suffix", "text", "why"),
    [
        ("yaml", "file_format: '2.0'", "Unsupported file_format"),
        ("yaml", "file_format: [", "Failed to parse YAML"),
        ("yaml", "", "empty"),
        ("txt", "file_format: '1.0'", "Unsupported file format"),
        ("yaml", HEAD + "tracer_provider: {}", "does not match schema"),
    ],
)
def test_a_wrong_file_is_refused(
    suffix: str, text: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable, the file and what is wrong."""
    file = tmp_path / f"otel.{suffix}"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("OTEL_CONFIG_FILE", str(file))
    with pytest.raises(ValueError, match=why) as raised:
        check()
    assert str(raised.value).startswith(f"OTEL_CONFIG_FILE={str(file)!r} is wrong: ")


def test_an_error_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The package's own lines and tracebacks are not printed beside it."""
    monkeypatch.setenv("OTEL_CONFIG_FILE", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ValueError, match="not found"):
        check()
    assert capfd.readouterr() == ("", "")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that reads the file is an extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry.configuration", None)
    monkeypatch.setenv("OTEL_CONFIG_FILE", "/etc/otel/otel.yaml")
    with pytest.raises(ValueError, match=r"pip install 'charter-otel\[file-configuration\]'"):
        check()


def test_the_service_runs_by_the_file(receiver: Received, tmp_path: Path) -> None:
    """`serve` exports by the file, span events too, and its lines have the file's name."""
    file = tmp_path / "otel.yaml"
    file.write_text(EXPORTING.replace("URL", receiver.url) + BRIDGE, encoding="utf-8")
    with service(OTEL_CONFIG_FILE=str(file), SITE="plant-7") as running:
        running.post("/api/metrics/missions", {"mission_id": "m-1", "status": "completed"})
        with connect(f"{running.websocket}/api/telemetry/ws/robot_001"):
            pass
        assert running.stop() == 0
        lines = running.lines()
    assert {line["service.name"] for line in lines} == {"named-by-the-file"}
    assert resources(receiver) == {("named-by-the-file", "plant-7")}
    spans = {span.name: span for span in receiver.spans}
    handshake = spans["GET /api/telemetry/ws/{robot_id}"]
    assert [event.name for event in handshake.events] == ["telemetry.connection_established"]
    assert "POST /api/metrics/missions" in spans
    recorded = {record.event_name: record for record in receiver.log_records}
    assert recorded["telemetry.connection_established"].span_id == handshake.span_id
    assert recorded["telemetry.connection_closed"].trace_id == handshake.trace_id
    assert {"charter.handshake.duration", "process.uptime"} <= receiver.metrics.keys()


def test_serve_refuses_a_wrong_file(tmp_path: Path) -> None:
    """One sentence at the start, which names the variable and the file, and no traceback."""
    file = tmp_path / "otel.yaml"
    file.write_text("file_format: '2.0'", encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = subprocess.run(
        [sys.executable, "-m", "charter_otel", "serve", "--port", str(free_port())],
        env={**kept, "OTEL_CONFIG_FILE": str(file), "CHARTER_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ended.returncode != 0
    assert f"OTEL_CONFIG_FILE={str(file)!r} is wrong: Unsupported file_format" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
