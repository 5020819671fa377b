"""The plugin in a program that has set up OpenTelemetry and structlog itself.

Global providers are set once in a process, so each program is a process of its own.
"""

import json
import subprocess
import sys

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


def _run(signals: str) -> dict[str, list[str]]:
    """Run the program with an SDK for these signals, and give what each of its parts got."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, signals],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    seen: dict[str, list[str]] = json.loads(ended.stdout.splitlines()[-1])
    return seen


def test_the_program_s_own_sdk_and_log_get_everything() -> None:
    """Records, span events, metrics and lines reach what the program has set up."""
    seen = _run("logs,traces,metrics")
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
    assert name in _run(signal)[signal]
