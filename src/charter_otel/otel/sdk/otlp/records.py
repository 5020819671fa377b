"""The bytes of a log record.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/opentelemetry/proto/logs/v1/logs.proto
"""

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord

from charter_otel.otel.sdk.otlp.wire import (
    SMALL,
    Parts,
    UnusualError,
    count,
    delimited,
    fixed32,
    fixed64,
    items,
    write,
)


def record(given: ReadableLogRecord) -> bytes:
    """Return the ``LogRecord`` of a log record.

    Raises:
        UNUSUAL: The SDK's own encoder has to write it, or to refuse it.
    """
    written = given.log_record
    parts: Parts = []
    if written.timestamp:
        parts.append(fixed64(0x09, written.timestamp))
    _write_content(parts, written)
    attributes, dropped = items(written.attributes)
    write(parts, b"\x32", attributes)
    if dropped:
        parts.append(count(b"\x38", dropped))
    if written.trace_flags:
        parts.append(fixed32(0x45, written.trace_flags))
    if written.trace_id:
        parts += (b"\x4a\x10", written.trace_id.to_bytes(16, "big"))
    if written.span_id:
        parts += (b"\x52\x08", written.span_id.to_bytes(8, "big"))
    if written.observed_timestamp:
        parts.append(fixed64(0x59, written.observed_timestamp))
    if written.event_name:
        parts.append(delimited(b"\x62", written.event_name.encode()))
    return b"".join(parts)


def _write_content(parts: Parts, written: LogRecord) -> None:
    if written.severity_number is not None and written.severity_number.value:
        parts.append(b"\x10" + SMALL[written.severity_number.value])
    if written.severity_text:
        parts.append(delimited(b"\x1a", written.severity_text.encode()))
    if written.body is None:
        parts.append(b"\x2a\x00")
    elif type(written.body) is str:
        parts.append(delimited(b"\x2a", delimited(b"\x0a", written.body.encode())))
    else:
        raise UnusualError
