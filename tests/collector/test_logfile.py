"""The JSON lines on stdout, read from a file, give the same log records as OTLP."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from charter_otel.otel.semconv import EVENTS
from collector.harness import CONFIGS, Collector, attributes, plain
from collector.standin import StandIn
from support.polling import wait_until

CORRELATION = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
STAMP = 1703001234.567
NUMBERS = {"info": 9, "warn": 13, "error": 17}
# One value of each type that occurs, whole floats among them.
SAMPLES: dict[str, Any] = {
    "job_id": "aggregate_mission_metrics",
    "entries_processed": 42,
    "duration_ms": 512.0,
    "error_message": "no missions today",
    "error_type": "RuntimeError",
    "robot_id": "r1",
    "connection_id": "ws_r1_1703001234_ab12",
    "duration_seconds": 60.25,
    "reason": "connection_lost",
    "metrics": {
        "cpu_usage": 45.2,
        "memory_usage": 62.0,
        "network_latency_ms": 12.5,
        "battery_percentage": None,
    },
}
LEVELS = {"metrics.aggregation_failed": "error", "telemetry.connection_closed": "warn"}


def envelope(event_type: str) -> dict[str, Any]:
    """Make an event as the service writes it."""
    names = {path.split(".")[0] for path, _ in EVENTS[event_type]}
    return {
        "id": "evt_metrics_1703001234567_a1b2c3",
        "type": event_type,
        "source": "metrics_service",
        "target": None,
        "timestamp": STAMP,
        "payload": {name: SAMPLES.get(name, STAMP) for name in sorted(names)},
        "meta": {"correlation_id": CORRELATION, "version": "1.0"},
    }


def line(event_type: str) -> str:
    """Make the line on stdout that belongs to an event."""
    return json.dumps(
        {
            # The line is written a little after the event was made.
            "timestamp": "2026-11-23T13:00:00.123456Z",
            "level": LEVELS.get(event_type, "info"),
            "event": event_type,
            "logger": "charter_otel",
            "service.name": "charter-otel",
            "trace_id": CORRELATION,
            "span_id": SPAN,
            "trace_flags": "01",
            "charter": envelope(event_type),
        }
    )


def record(event_type: str) -> LogRecord:
    """Make the record that the service sends by OTLP for the same event."""
    event = envelope(event_type)
    values: dict[str, Any] = {
        "charter.event.id": event["id"],
        "charter.event.type": event_type,
        "charter.event.source": event["source"],
        "charter.event.timestamp": STAMP,
        "charter.event.version": "1.0",
        "charter.event.correlation_id": CORRELATION,
    }
    for path, key in EVENTS[event_type]:
        value: Any = event["payload"]
        for name in path.split("."):
            value = value[name]
        if value is not None:
            values[key] = value
    return LogRecord(
        event_name=event_type,
        time_unix_nano=round(STAMP * 1e9),
        severity_number=NUMBERS[LEVELS.get(event_type, "info")],  # type: ignore[arg-type]
        trace_id=bytes.fromhex(CORRELATION),
        span_id=bytes.fromhex(SPAN),
        flags=1,
        attributes=attributes(values),
    )


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Return the file that the Collector reads."""
    return tmp_path / "service.log"


@pytest.fixture
def env(vendor: StandIn, log_file: Path) -> dict[str, str]:
    """Return the variables of the file and of the vendor."""
    return {"CHARTER_OTLP_ENDPOINT": vendor.url, "CHARTER_LOG_FILE": str(log_file)}


FILES = ("base.yaml", "logfile.yaml", "vendors/otlp.yaml")


def test_events_are_the_same_as_by_otlp(
    binary: Path, tmp_path: Path, vendor: StandIn, log_file: Path, env: dict[str, str]
) -> None:
    """Name, time, severity, ids and attributes with their types do not depend on the path."""
    log_file.write_text("".join(f"{line(event_type)}\n" for event_type in EVENTS))
    with Collector(binary, tmp_path, *FILES, **env) as collector:
        collector.validate()
        wait_until(lambda: len(vendor.records()) == len(EVENTS), "all events")
    by_file = {got.event_name: got for got in vendor.records()}
    message = vendor.requests[0].message
    assert isinstance(message, ExportLogsServiceRequest)
    resource = message.resource_logs[0]
    assert plain(resource.resource.attributes) == {"service.name": "charter-otel"}
    assert resource.scope_logs[0].scope.name == "charter_otel"

    vendor.requests.clear()
    (tmp_path / "otlp").mkdir()
    with Collector(binary, tmp_path / "otlp", "base.yaml", "vendors/otlp.yaml", **env) as collector:
        collector.send(*(record(event_type) for event_type in EVENTS))
        wait_until(lambda: len(vendor.records()) == len(EVENTS), "all events")
    for by_otlp in vendor.records():
        got = by_file[by_otlp.event_name]
        assert plain(got.attributes) == plain(by_otlp.attributes)
        kinds = [
            {pair.key: pair.value.WhichOneof("value") for pair in one.attributes}
            for one in (got, by_otlp)
        ]
        assert kinds[0] == kinds[1]
        assert abs(got.time_unix_nano - by_otlp.time_unix_nano) < 1000
        for name in ("severity_number", "severity_text", "trace_id", "span_id", "flags", "body"):
            assert getattr(got, name) == getattr(by_otlp, name), name


def test_event_outside_a_trace(
    binary: Path, tmp_path: Path, vendor: StandIn, log_file: Path, env: dict[str, str]
) -> None:
    """An event without a trace has no ids and no correlation id, rather than empty ones."""
    made = json.loads(line("metrics.aggregation_started"))
    made["charter"]["meta"]["correlation_id"] = None
    for name in ("trace_id", "span_id", "trace_flags"):
        del made[name]
    log_file.write_text(f"{json.dumps(made)}\n")
    with Collector(binary, tmp_path, *FILES, **env):
        wait_until(vendor.records, "the event")
    (got,) = vendor.records()
    assert got.event_name == "metrics.aggregation_started"
    assert (got.trace_id, got.span_id) == (b"", b"")
    assert "charter.event.correlation_id" not in plain(got.attributes)


def test_ordinary_lines_become_plain_records(
    binary: Path, tmp_path: Path, vendor: StandIn, log_file: Path, env: dict[str, str]
) -> None:
    """Other lines keep their text as body and their keys as attributes, JSON or not."""
    ordinary = {
        "timestamp": "2026-11-23T13:00:00.123456Z",
        "level": "warning",
        "event": "stream unreachable",
        "logger": "charter_otel.streams",
        "service.name": "charter-otel",
        "attempt": 3,
    }
    worse = ordinary | {"level": "critical", "event": "out of memory"}
    lines = (json.dumps(ordinary), json.dumps(worse), "Traceback: no JSON at all", "{broken")
    log_file.write_text("".join(f"{one}\n" for one in lines))
    with Collector(binary, tmp_path, *FILES, **env):
        wait_until(lambda: len(vendor.records()) == 4, "four records")
    worst, got, *rest = sorted(vendor.records(), key=lambda one: -one.severity_number)
    assert got.body.string_value == "stream unreachable"
    assert plain(got.attributes) == {"attempt": 3}
    assert worst.body.string_value == "out of memory"
    assert worst.severity_number == 21
    assert got.event_name == ""
    assert got.severity_number == 13
    assert got.time_unix_nano == 1_795_438_800_123_456_000
    assert {one.body.string_value for one in rest} == {"Traceback: no JSON at all", "{broken"}


def test_reads_on_after_sigkill(
    binary: Path, tmp_path: Path, vendor: StandIn, log_file: Path, env: dict[str, str]
) -> None:
    """Lines that are written while the Collector is dead arrive later, and none is read twice."""
    vendor.refuse = True
    log_file.write_text("one\n")
    with Collector(binary, tmp_path, *FILES, **env) as collector:
        wait_until(lambda: vendor.refused, "the vendor refused")
        collector.kill()
        with log_file.open("a") as file:
            file.write("two\n")
        vendor.refuse = False
        collector.start()
        wait_until(
            lambda: {got.body.string_value for got in vendor.records()} == {"one", "two"},
            "both lines arrived",
            within=60,
        )
        with log_file.open("a") as file:
            file.write("three\n")
        wait_until(lambda: len(vendor.records()) > 2, "a later line arrived")
    assert sorted(got.body.string_value for got in vendor.records()) == ["one", "three", "two"]


def test_mapping_is_the_service_s() -> None:
    """Each field of each event is mapped to the attribute that the registry names, and no other."""
    config = yaml.safe_load((CONFIGS / "logfile.yaml").read_text())
    (_, events) = config["processors"]["transform/logfile"]["log_statements"]
    mapped = {
        statement for statement in events["statements"] if '["charter"]["payload"]' in statement
    }
    wanted = set()
    for fields in EVENTS.values():
        for path, key in fields:
            field = "".join(f'["{name}"]' for name in path.split("."))
            source = f'log.attributes["charter"]["payload"]{field}'
            wanted.add(f'set(log.attributes["{key}"], {source})')
    assert mapped == wanted
