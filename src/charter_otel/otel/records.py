"""A Charter event as an OpenTelemetry log record: name, time, severity, flat attributes."""

from typing import Any

from opentelemetry._logs import Logger, SeverityNumber

from charter_otel.charter import CATALOG, EXPECTED_CLOSE_REASONS, Event
from charter_otel.otel import semconv
from charter_otel.otel.sdk.workarounds import EventRecord

_EXPECTED = frozenset({None, *EXPECTED_CLOSE_REASONS})
_SEVERITY_NUMBERS = {
    "info": SeverityNumber.INFO,
    "warn": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}
_FIELDS = {
    event_type: tuple((*path.partition(".")[::2], key) for path, key in fields)
    for event_type, fields in semconv.EVENTS.items()
}
"""Event type → (field of the payload, field inside of that one or "", attribute)."""


def severity(event: Event) -> str:
    """Return the severity by outcome: ``info``, ``warn`` or ``error``."""
    entry = CATALOG[event.type]
    expected = event.payload.get("reason") in _EXPECTED
    return entry.severity if expected else entry.severity_unexpected


def attributes(event: Event) -> dict[str, Any]:
    """Return envelope and payload as flat attributes; what is null or absent stays out."""
    flat: dict[str, Any] = {
        semconv.CHARTER_EVENT_ID: event.id,
        semconv.CHARTER_EVENT_TYPE: event.type,
        semconv.CHARTER_EVENT_SOURCE: event.source,
        semconv.CHARTER_EVENT_TIMESTAMP: event.timestamp,
        semconv.CHARTER_EVENT_VERSION: event.meta["version"],
    }
    if correlation_id := event.meta["correlation_id"]:
        flat[semconv.CHARTER_EVENT_CORRELATION_ID] = correlation_id
    payload = event.payload
    for name, inner, key in _FIELDS[event.type]:
        value = payload.get(name)
        if inner and value is not None:
            value = value.get(inner)
        if value is not None:
            flat[key] = value
    return flat


def emit_record(logger: Logger, event: Event, severity_text: str, timestamp_ns: int) -> None:
    """Emit the event's log record, where anybody takes it.

    The record has no body: conventions leave it to display strings, and a map there costs the
    exporter more than all the rest.
    """
    number = _SEVERITY_NUMBERS[severity_text]
    if logger.enabled(severity_number=number, event_name=event.type):
        logger.emit(
            EventRecord(
                timestamp=timestamp_ns,
                observed_timestamp=timestamp_ns,
                severity_number=number,
                event_name=event.type,
                attributes=attributes(event),
            )
        )
