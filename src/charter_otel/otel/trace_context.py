"""Trace ids as the texts that events, streams and log lines carry."""

from typing import NamedTuple

from opentelemetry.trace import SpanContext, get_current_span


class TraceIds(NamedTuple):
    """The ids of a valid span context, as text."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    trace_flags: str
    """Two hexadecimal digits."""

    @property
    def traceparent(self) -> str:
        """The W3C ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{self.trace_flags}"


def trace_ids(context: SpanContext) -> TraceIds | None:
    """Return the context's ids as text, or None if there is no valid trace."""
    if not context.is_valid:
        return None
    return TraceIds(
        f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{context.trace_flags:02x}"
    )


def correlation_id(context: SpanContext) -> str | None:
    """Return the trace id as 32 hexadecimal digits, or None if there is no valid trace."""
    return f"{context.trace_id:032x}" if context.is_valid else None


def traceparent(context: SpanContext) -> str | None:
    """Return the W3C ``traceparent``, or None if there is no valid trace."""
    ids = trace_ids(context)
    return ids.traceparent if ids else None


def current() -> SpanContext:
    """Return the context of the current span, ended or not, sampled or not."""
    return get_current_span().get_span_context()
