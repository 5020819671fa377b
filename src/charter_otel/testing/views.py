"""Captured signals without the fields that differ from run to run, so that tests compare them."""

from typing import Any, NamedTuple

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan


class CapturedRecord(NamedTuple):
    """An OpenTelemetry log record."""

    event_name: str | None
    timestamp: int | None
    """Unix nanoseconds."""
    severity: str | None
    trace_id: str | None
    """32 hexadecimal digits; None if there is no trace."""
    span_id: str | None
    attributes: dict[str, Any]
    body: Any


class CapturedSpanEvent(NamedTuple):
    """An event on a span."""

    name: str
    timestamp: int
    """Unix nanoseconds."""
    attributes: dict[str, Any]


class CapturedSpan(NamedTuple):
    """A span that ended, without its times, which are the machine's."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    attributes: dict[str, Any]
    events: tuple[CapturedSpanEvent, ...]
    links: tuple[str, ...]
    """Trace ids of the linked spans."""
    status: str


class CapturedPoint(NamedTuple):
    """One series of a metric."""

    attributes: dict[str, Any]
    value: float
    """The value; for a histogram, the sum."""
    measurements: int | None = None
    """Number of recorded values; for a histogram only."""


def record_view(readable: ReadableLogRecord) -> CapturedRecord:
    """Return the view of a log record."""
    record = readable.log_record
    return CapturedRecord(
        event_name=record.event_name,
        timestamp=record.timestamp,
        severity=record.severity_number.name.lower() if record.severity_number else None,
        trace_id=f"{record.trace_id:032x}" if record.trace_id else None,
        span_id=f"{record.span_id:016x}" if record.span_id else None,
        attributes=dict(record.attributes or {}),
        body=record.body,
    )


def span_view(span: ReadableSpan) -> CapturedSpan:
    """Return the view of a span."""
    context = span.get_span_context()
    events = (CapturedSpanEvent(e.name, e.timestamp, dict(e.attributes or {})) for e in span.events)
    return CapturedSpan(
        name=span.name,
        kind=span.kind.name.lower(),
        trace_id=f"{context.trace_id:032x}" if context else "",
        span_id=f"{context.span_id:016x}" if context else "",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        attributes=dict(span.attributes or {}),
        events=tuple(events),
        links=tuple(f"{link.context.trace_id:032x}" for link in span.links),
        status=span.status.status_code.name.lower(),
    )


def point_view(point: Any) -> CapturedPoint:
    """Return the view of a number or histogram data point."""
    attributes = dict(point.attributes or {})
    if hasattr(point, "sum"):
        return CapturedPoint(attributes, point.sum, point.count)
    return CapturedPoint(attributes, point.value)
