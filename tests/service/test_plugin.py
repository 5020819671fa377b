"""The plugin in a program that has set up OpenTelemetry, structlog or logging itself.

Global providers are set once in a process, so each program is a process of its own.
"""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, sys
import structlog
from litestar import Litestar
from litestar.testing import TestClient
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from charter_otel import CharterPlugin, EventToSpanEventBridge

signals = sys.argv[1].split(",")
records, spans, reader = InMemoryLogRecordExporter(), InMemorySpanExporter(), InMemoryMetricReader()
if "logs" in signals:
    provider = LoggerProvider()
    provider.add_log_record_processor(EventToSpanEventBridge())
    provider.add_log_record_processor(SimpleLogRecordProcessor(records))
    _logs.set_logger_provider(provider)
if "traces" in signals:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
if "metrics" in signals:
    metrics.set_meter_provider(MeterProvider([reader]))
lines = structlog.testing.LogCapture()
structlog.configure(processors=[lines])

with TestClient(Litestar(plugins=[CharterPlugin()])) as client:
    with client.websocket_connect("/api/telemetry/ws/robot_001") as robot:
        robot.send_json({"type": "ping"})
        robot.receive_json()

data = reader.get_metrics_data() if "metrics" in signals else None
print(json.dumps({
    "logs": [record.log_record.event_name for record in records.get_finished_logs()],
    "traces": [event.name for span in spans.get_finished_spans() for event in span.events],
    "metrics": [
        metric.name
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ],
    "lines": [entry["event"] for entry in lines.entries],
}))
"""


LOGGING = """
import json, logging, sys
from litestar import Litestar
from litestar.testing import TestClient
from charter_otel import CharterPlugin

options = {}
if sys.argv[1] == "litestar":
    from litestar.logging import LoggingConfig
    options = {"logging_config": LoggingConfig(root={"level": "ERROR", "handlers": ["console"]})}
app = Litestar(plugins=[CharterPlugin()], **options)
if sys.argv[1] == "standard library":
    logging.basicConfig(level=logging.ERROR, force=True)
server = logging.getLogger("uvicorn.access")
server.addHandler(logging.NullHandler())

def state():
    root = logging.getLogger()
    return [[type(each).__name__ for each in root.handlers], root.level, len(server.handlers)]

before = state()
with TestClient(app):
    during = state()
print(json.dumps({"before": before, "during": during, "after": state()}))
"""


def _run(program: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a program, and return the lines of its output."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_the_program_s_own_sdk_and_log_get_everything() -> None:
    """Records, span events, metrics and lines reach what the program has set up."""
    seen = _run(PROGRAM, "logs,traces,metrics")[-1]
    for part in ("logs", "traces", "lines"):
        assert seen[part].count("telemetry.connection_established") == 1
        assert seen[part].count("telemetry.connection_closed") == 1
    assert "charter.event.emitted" in seen["metrics"]


@pytest.mark.parametrize(
    ("signal", "name"),
    [("logs", "telemetry.connection_closed"), ("metrics", "charter.event.emitted")],
)
def test_an_sdk_for_one_signal_is_used_too(signal: str, name: str) -> None:
    """A program that only wants records, or only metrics, gets them."""
    assert name in _run(PROGRAM, signal)[-1][signal]


@pytest.mark.parametrize("configured", ["standard library", "litestar"])
def test_the_program_s_own_logging_stays(configured: str) -> None:
    """Its handlers and levels are the same before, while and after the app runs."""
    if configured == "litestar":
        pytest.importorskip("litestar.logging", reason="Litestar 3 configures no logging")
    *lines, seen = _run(LOGGING, configured)
    assert seen["before"][1:] == [logging.ERROR, 1]
    assert seen["during"] == seen["after"] == seen["before"]
    # The events are lines all the same.
    assert "metrics.aggregation_started" in [line["event"] for line in lines]


def test_logging_that_nobody_set_up_is_ours() -> None:
    """Then the standard library's lines, and those of the server, are JSON, too."""
    seen = _run(LOGGING, "nothing")[-1]
    assert seen["during"] == [[*seen["before"][0], "_LineHandler"], logging.INFO, 0]
