"""The bytes of a span.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/opentelemetry/proto/trace/v1/trace.proto
"""

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, Status

from charter_otel.otel.sdk.otlp.wire import (
    SMALL,
    Parts,
    count,
    delimited,
    fixed64,
    items,
    write,
)

_KINDS = tuple(bytes((0x30, kind + 1)) for kind in range(5))
"""Number of a span's kind -> its field."""

_LOCAL, _REMOTE = b"\0\1\0\0", b"\0\3\0\0"
"""Flags of a context of this process, and of another one, in 32 bits."""


def span(given: ReadableSpan) -> bytes:
    """Return the ``Span`` of a span.

    Raises:
        UNUSUAL: The SDK's own encoder has to write it, or to refuse it.
    """
    context = given.context
    parts: Parts = [b"\x0a\x10", context.trace_id.to_bytes(16, "big")]
    parts += (b"\x12\x08", context.span_id.to_bytes(8, "big"))
    if context.trace_state:
        state = ",".join(f"{key}={value}" for key, value in context.trace_state.items())
        parts.append(delimited(b"\x1a", state.encode()))
    parent = given.parent
    if parent:
        parts += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
    if given.name:
        parts.append(delimited(b"\x2a", given.name.encode()))
    parts.append(_KINDS[given.kind.value])
    if given.start_time:
        parts.append(fixed64(0x39, given.start_time))
    if given.end_time:
        parts.append(fixed64(0x41, given.end_time))
    # What is public is a copy behind a proxy, which takes as long to read as to write.
    attributes, dropped = items(given._attributes)  # noqa: SLF001
    write(parts, b"\x4a", attributes)
    if dropped:
        parts.append(count(b"\x50", dropped))
    _write_lists(parts, given)
    if given.status is not None:
        parts.append(_status(given.status))
    parts.append(b"\x85\x01" + _flags(parent))
    return b"".join(parts)


def _write_lists(parts: Parts, given: ReadableSpan) -> None:
    for event in given.events:
        parts.append(delimited(b"\x5a", _event(event)))
    if given.dropped_events:
        parts.append(count(b"\x60", given.dropped_events))
    for link in given.links:
        parts.append(delimited(b"\x6a", _link(link)))
    if given.dropped_links:
        parts.append(count(b"\x70", given.dropped_links))


def _event(event: Event) -> bytes:
    parts: Parts = []
    if event.timestamp:
        parts.append(fixed64(0x09, event.timestamp))
    if event.name:
        parts.append(delimited(b"\x12", event.name.encode()))
    attributes, dropped = items(event.attributes)
    write(parts, b"\x1a", attributes)
    if dropped:
        parts.append(count(b"\x20", dropped))
    return b"".join(parts)


def _link(link: Link) -> bytes:
    context = link.context
    parts: Parts = [b"\x0a\x10", context.trace_id.to_bytes(16, "big")]
    parts += (b"\x12\x08", context.span_id.to_bytes(8, "big"))
    attributes, dropped = items(link.attributes)
    write(parts, b"\x22", attributes)
    if dropped:
        parts.append(count(b"\x28", dropped))
    parts.append(b"\x35" + _flags(context))
    return b"".join(parts)


def _status(status: Status) -> bytes:
    code = status.status_code.value
    content = b"\x18" + SMALL[code] if code else b""
    if status.description:
        content = delimited(b"\x12", status.description.encode()) + content
    return delimited(b"\x7a", content)


def _flags(context: SpanContext | None) -> bytes:
    return _REMOTE if context and context.is_remote else _LOCAL
