"""Trace ids as the texts that events, streams and log lines carry."""

from opentelemetry.trace import SpanContext, get_current_span


def correlation_id(context: SpanContext) -> str | None:
    """Give the trace id as 32 hexadecimal digits, or None where there is no valid trace."""
    return f"{context.trace_id:032x}" if context.is_valid else None


def traceparent(context: SpanContext) -> str | None:
    """Give the W3C ``traceparent``, or None where there is no valid trace."""
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current() -> SpanContext:
    """Give the context of the current span, ended or not, sampled or not."""
    return get_current_span().get_span_context()
