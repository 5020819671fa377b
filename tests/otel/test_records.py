"""An event as a log record: its name, its own time, severity by outcome, flat attributes."""

from typing import Any

import pytest
from hypothesis import given
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.sdk._logs import LoggerProvider

from charter_otel import emit
from charter_otel.charter import EXPECTED_CLOSE_REASONS, CloseReason, create
from charter_otel.otel.records import attributes, emit_record, severity
from charter_otel.testing import Capture
from support.events import EXAMPLES, PAYLOADS, correlation_ids, typed_payloads

CLOSED = "telemetry.connection_closed"
ENVELOPE = {
    "charter.event.id",
    "charter.event.type",
    "charter.event.source",
    "charter.event.timestamp",
    "charter.event.version",
}


def test_whole(charter_capture: Capture) -> None:
    """A record holds name, time, severity, envelope and payload, and no body."""
    event = emit("metrics.aggregation_failed", PAYLOADS["metrics.aggregation_failed"])
    assert event is not None
    [record] = charter_capture.log_records
    assert record._asdict() == {
        "event_name": "metrics.aggregation_failed",
        "timestamp": charter_capture.clock.nanoseconds,
        "severity": "error",
        "trace_id": None,
        "span_id": None,
        "body": None,
        "attributes": {
            "charter.event.id": event.id,
            "charter.event.type": "metrics.aggregation_failed",
            "charter.event.source": "metrics_service",
            "charter.event.timestamp": 1703001234.567,
            "charter.event.version": "1.0",
            "charter.job.id": "aggregate_mission_metrics",
            "charter.job.error_message": "Connection to Redis lost",
            "charter.job.error_type": "RedisConnectionError",
            "charter.job.failed_at": 1703002345.678,
            "error.type": "RedisConnectionError",
        },
    }


def test_readings_are_flat() -> None:
    """The readings inside a payload become attributes of their own."""
    event = create("telemetry.metrics_published", PAYLOADS["telemetry.metrics_published"])
    flat = attributes(event)
    assert flat["charter.reading.cpu_usage"] == 45.2
    assert flat["charter.reading.memory_usage"] == 62.8
    assert flat["charter.reading.network_latency_ms"] == 12.5
    assert flat["charter.reading.battery_percentage"] == 78.0


@given(typed_payloads, correlation_ids)
def test_flat_and_complete(typed: tuple[str, dict[str, Any]], correlation_id: str | None) -> None:
    """Every value of any event is there once, as text or number; what is null or absent is not."""
    event = create(*typed, correlation_id=correlation_id)
    flat = attributes(event)
    assert {type(value) for value in flat.values()} <= {str, int, float}
    assert flat.keys() >= ENVELOPE
    assert ("charter.event.correlation_id" in flat) == (correlation_id is not None)
    leaves = {k: v for k, v in event.payload.items() if not isinstance(v, dict)}
    leaves |= event.payload.get("metrics", {})
    own = [v for k, v in flat.items() if not k.startswith(("charter.event.", "error."))]
    assert sorted(map(repr, own)) == sorted(map(repr, leaves.values()))


@pytest.mark.parametrize("reason", [*CloseReason, None, "unheard_of"])
def test_severity_of_a_close_goes_by_its_reason(reason: str | None) -> None:
    """A close that somebody meant is information, any other a warning."""
    payload = {k: v for k, v in PAYLOADS[CLOSED].items() if k != "reason"}
    event = create(CLOSED, payload | ({"reason": reason} if reason else {}))
    expected = reason is None or reason in EXPECTED_CLOSE_REASONS
    assert severity(event) == ("info" if expected else "warn")


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_severity_of_the_examples(event_type: str) -> None:
    """Of the specification's examples only the failed job is an error."""
    event = create(event_type, PAYLOADS[event_type])
    assert severity(event) == ("error" if event_type.endswith("_failed") else "info")


@pytest.mark.parametrize("provider", [NoOpLoggerProvider(), LoggerProvider(shutdown_on_exit=False)])
def test_nobody_listens(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a processor that takes records, none is made."""
    monkeypatch.setattr("charter_otel.otel.records.attributes", None)
    event = create("metrics.aggregation_started", PAYLOADS["metrics.aggregation_started"])
    emit_record(provider.get_logger("test"), event, "info", 1)
