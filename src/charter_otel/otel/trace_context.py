"""Trace ids as the texts that events, streams and log lines carry."""

import re
from typing import NamedTuple

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags, get_current_span

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


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


def remote(traceparent: str | None) -> SpanContext:
    """Return the context of a W3C ``traceparent``; without one, or a wrong one, an invalid one."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return INVALID_SPAN_CONTEXT
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def current() -> SpanContext:
    """Return the context of the current span, ended or not, sampled or not."""
    return get_current_span().get_span_context()
