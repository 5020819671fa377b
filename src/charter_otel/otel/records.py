"""A Charter event as an OpenTelemetry log record: name, time, severity, flat attributes."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from opentelemetry._logs import Logger, SeverityNumber

from charter_otel.charter import CATALOG, EXPECTED_CLOSE_REASONS, Entry, Event
from charter_otel.otel import semconv
from charter_otel.otel.context_attributes import of_payload
from charter_otel.otel.sdk import plain_attributes
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
    """Return envelope and payload as flat attributes; null and absent fields stay out."""
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
    flat.update(of_payload(payload))
    declared = _FIELDS.get(event.type)
    if declared is None:
        flat.update(_own(CATALOG[event.type], payload))
        return flat
    for name, inner, key in declared:
        value = payload.get(name)
        if inner and value is not None:
            value = value.get(inner)
        if value is not None:
            flat[key] = value
    return flat


def _own(entry: Entry, payload: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield attribute and value of each field of a type that a program declared."""
    for name, value in payload.items():
        if value is None:
            continue
        if isinstance(value, dict) and (path + name) not in entry.attributes:
            yield from _own(entry, value, f"{path}{name}.")
        else:
            yield _key(entry, path + name), _attribute_value(value)


@cache
def _key(entry: Entry, path: str) -> str:
    return entry.attributes.get(path) or f"charter.{entry.name.partition('.')[0]}.{path}"


def _attribute_value(value: Any) -> Any:
    """Return a value that an attribute may have; anything deeper becomes JSON text."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list) and value and isinstance(value[0], str | bool | int | float):
        kinds = {type(item) for item in value}
        if len(kinds) == 1:
            return value
    return msgspec.json.encode(value).decode()


def emit_record(logger: Logger, event: Event, severity_text: str, timestamp_ns: int) -> None:
    """Emit the event's log record, if the logger is enabled.

    The record has no body: conventions leave it to display strings, and a map there costs the
    exporter more than all the rest.
    """
    number = _SEVERITY_NUMBERS[severity_text]
    if logger.enabled(severity_number=number, event_name=event.type):
        record = EventRecord(
            timestamp=timestamp_ns,
            observed_timestamp=timestamp_ns,
            severity_number=number,
            event_name=event.type,
            attributes=attributes(event),
        )
        plain_attributes.emit(logger, record)
