"""The REST route of one trace, from the spans that the service has kept."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from litestar import Router, get
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import PathParameter
from msgspec import Struct
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT, StatusCode

from charter_otel.methods import with_methods
from charter_otel.otel.sdk.recent_spans import RecentSpans
from charter_otel.service.http import UNTRACED

_TRACE_ID = re.compile(r"[0-9a-f]{32}")

TraceId = Annotated[
    str,
    PathParameter(
        description="The correlation id of an event: 32 lower-case hexadecimal digits.",
        schema_extra={"pattern": f"^{_TRACE_ID.pattern}$"},
    ),
]


class SpanEvent(Struct):
    """An event during a span."""

    name: str
    at: float
    """Unix seconds."""
    attributes: dict[str, Any]


class SpanNode(Struct):
    """A finished span."""

    trace_id: str
    """Its own trace; another one if the span only links to the requested trace."""
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    started_at: float
    """Unix seconds."""
    duration_ms: float
    status: Literal["unset", "ok", "error"]
    error: str | None
    attributes: dict[str, Any]
    events: list[SpanEvent]
    links: list[str]
    """Ids of the spans that it links to."""


class Trace(Struct):
    """The known spans of a trace. The span of a long connection appears once it has ended."""

    trace_id: str
    spans: list[SpanNode]
    """Oldest first."""
    kept: int
    """Number of finished spans that the service keeps, of all traces together."""


def traces_router(get_recent: Callable[[], RecentSpans | None]) -> Router:
    """Return the route under ``/api/traces``.

    Args:
        get_recent: Returns the spans that are kept, or None if the service keeps none.
    """

    @get("/{trace_id:str}", summary="One trace", operation_id="get_trace")
    async def get_trace(trace_id: TraceId) -> Trace:
        """Return the spans of a correlation id that the service still has, with their events."""
        if not _TRACE_ID.fullmatch(trace_id):
            wrong = {"message": "Expected 32 of 0-9 a-f", "key": "trace_id"}
            raise ValidationException(extra=[wrong])
        recent = get_recent()
        if recent is None:
            raise NotFoundException(
                "The service keeps no spans; set CHARTER_RECENT_SPANS=3000 and start it again."
            )
        spans = recent.trace(int(trace_id, 16))
        if not spans:
            raise NotFoundException(
                f"None of the last {recent.capacity} spans belongs to trace {trace_id}."
            )
        return Trace(trace_id, [_node(span) for span in spans], recent.capacity)

    handlers = with_methods([get_trace])
    return Router("/api/traces", route_handlers=handlers, opt={UNTRACED: True}, tags=["traces"])


def _node(span: ReadableSpan) -> SpanNode:
    context = span.get_span_context() or INVALID_SPAN_CONTEXT
    started = span.start_time or 0
    return SpanNode(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_span_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        kind=span.kind.name.lower(),
        started_at=started / 1e9,
        duration_ms=((span.end_time or started) - started) / 1e6,
        status=_STATUSES[span.status.status_code],
        error=span.status.description,
        attributes=_plain(span.attributes),
        events=[_event(event) for event in span.events],
        links=[f"{link.context.span_id:016x}" for link in span.links],
    )


def _event(event: Event) -> SpanEvent:
    return SpanEvent(event.name, event.timestamp / 1e9, _plain(event.attributes))


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the attributes as JSON values."""
    return {name: _value(value) for name, value in (attributes or {}).items()}


def _value(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_value(item) for item in value]
    return value if isinstance(value, str | bool | int | float | None) else str(value)


_STATUSES: dict[StatusCode, Literal["unset", "ok", "error"]] = {
    StatusCode.UNSET: "unset",
    StatusCode.OK: "ok",
    StatusCode.ERROR: "error",
}
