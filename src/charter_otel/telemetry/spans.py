"""The three short spans of a long connection: handshake, checkpoint, and the whole at its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    StatusCode,
    Tracer,
    set_span_in_context,
)

from charter_otel.charter import CloseReason
from charter_otel.otel import semconv
from charter_otel.otel.context_attributes import with_attributes
from charter_otel.otel.propagation import origin, parent_of_request
from charter_otel.otel.requests import of_request
from charter_otel.telemetry.closing import is_expected
from charter_otel.telemetry.connections import Connection

Attributes = dict[str, str | int | float]


class ContextAttached:
    """A context manager that attaches a context: `use_span` without its handling of exceptions."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        """Make it the current one."""
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        """Restore the former context."""
        detach(self._token)


@contextmanager
def handshake(tracer: Tracer, route: str, scope: Any, *, admitted: bool) -> Iterator[Span]:
    """Run a handshake in a SERVER span named by the route's template.

    It ends at accept, so that the trace is there while the connection lives. A ``traceparent`` of
    the robot is honoured. Inside, the trace is current and not the span: objects that the
    server creates at accept keep the context, and would keep the whole span.

    A robot that is not admitted writes into no existing trace: its handshake is a trace of its
    own, with a link to the one that it named.
    """
    parent = parent_of_request(scope["headers"], Context())
    context, links = origin(parent, trusted=admitted)
    span = tracer.start_span(
        f"GET {route}",
        context=context,
        links=links,
        kind=parent.kind,
        attributes={
            semconv.HTTP_REQUEST_METHOD: "GET",
            semconv.HTTP_ROUTE: route,
            semconv.URL_SCHEME: scope["scheme"],
            **of_request(scope),
        },
    )
    try:
        with ContextAttached(inside(span.get_span_context())):
            yield span
    except Exception as error:
        span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
        raise
    finally:
        span.end()


def checkpoint(tracer: Tracer, connection: Connection) -> None:
    """Write a span with the totals of a long connection so far, linked to the handshake."""
    links = [Link(connection.handshake)] if connection.handshake.is_valid else []
    tracer.start_span(
        semconv.SPAN_CHARTER_CONNECTION_CHECKPOINT,
        context=Context(),
        links=links,
        attributes=_carried(connection, connection.duration),
    ).end()


@contextmanager
def connection_span(tracer: Tracer, connection: Connection, reason: CloseReason) -> Iterator[float]:
    """Write the span of the whole connection into the handshake's trace.

    It is current inside, for the closing event. Its length is that of the monotonic clock.

    Yields:
        The connection's duration, in seconds.
    """
    duration, labels = connection.duration, connection.labels
    context = inside(connection.handshake)
    span = tracer.start_span(
        semconv.SPAN_CHARTER_CONNECTION,
        context=context,
        attributes=_carried(connection, duration)
        | {semconv.CHARTER_CONNECTION_CLOSE_REASON: reason.value},
        start_time=connection.opened_ns,
    )
    if not is_expected(reason):
        span.set_attribute(semconv.ERROR_TYPE, reason.value)
        span.set_status(StatusCode.ERROR, reason.value)
    try:
        with ContextAttached(with_attributes(set_span_in_context(span, context), labels)):
            yield duration
    finally:
        span.end(connection.opened_ns + int(duration * 1e9))


def inside(handshake: SpanContext) -> Context:
    """Return a context in which log lines and spans belong to the handshake's trace."""
    return set_span_in_context(NonRecordingSpan(handshake), Context())


def event_context(span: Span, connection: Connection) -> Context:
    """Return a context for a connection's event: the span is current, the labels go along."""
    return with_attributes(set_span_in_context(span), connection.labels)


def _carried(connection: Connection, duration: float) -> Attributes:
    return {
        semconv.CHARTER_ROBOT_ID: connection.robot_id,
        semconv.CHARTER_CONNECTION_ID: connection.id,
        semconv.CHARTER_CONNECTION_DURATION_SECONDS: duration,
        semconv.CHARTER_CONNECTION_FRAMES: connection.frames,
        **connection.labels,
    }
