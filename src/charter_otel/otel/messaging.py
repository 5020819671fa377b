"""The work of an event stream as spans and metrics of the messaging conventions.

`StreamTelemetry` has the shape of `charter_otel.streams.types.Observer`; it imports nothing from
there, so that streams and OpenTelemetry stay apart.
"""

import time
from collections.abc import Sequence
from contextvars import Token
from functools import cache
from types import TracebackType
from typing import NamedTuple

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes
from structlog.contextvars import bind_contextvars, reset_contextvars

from charter_otel.charter import Event
from charter_otel.otel import semconv
from charter_otel.otel.instrumentation import Instrumentation
from charter_otel.otel.instruments import Instruments
from charter_otel.otel.trace_context import remote

Batch = Sequence[tuple[Event, str | None]]
"""Events, each with its publisher's trace context."""

Destination = tuple[str, str, str | None, int | None]
"""A stream: messaging system, name, and address and port of the server, if there is one."""


class StreamTelemetry:
    """Makes spans and metrics of publishing and handling.

    Args:
        instrumentation: Where the spans and metrics go.
        parent: True makes the handling span of a single event a child of the publisher's span.
            Otherwise it is the root of a trace of its own, which links to that span.
    """

    def __init__(self, instrumentation: Instrumentation, *, parent: bool = False) -> None:
        self._tracer = instrumentation.tracer
        self._instruments = instrumentation.instruments
        self._parent = parent

    def published(
        self, destination: Destination, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """Record a batch that was sent, or failed to be."""
        attributes = _operation("send", destination)
        if error is None:
            self._instruments.sent_messages.add(count, attributes)
        else:
            attributes[semconv.ERROR_TYPE] = type(error).__qualname__
        self._instruments.operation_duration.record(
            seconds, attributes | {semconv.MESSAGING_OPERATION_TYPE: "send"}
        )

    def dropped(self, count: int, reason: str, sink: str = "stream") -> None:
        """Count events that the stream or a subscriber's queue dropped."""
        self._instruments.dropped(sink, reason, count)

    def processing(
        self, destination: Destination, group: str, event: Event, traceparent: str | None
    ) -> "_Processing":
        """Return the context manager for handling an event: span, duration and correlation id."""
        subscriber, publisher = _subscriber(destination, group), remote(traceparent)
        attributes = subscriber.span | {
            semconv.MESSAGING_MESSAGE_ID: event.id,
            semconv.CHARTER_EVENT_TYPE: event.type,
        }
        bound = {"correlation_id": event.meta["correlation_id"], "event_id": event.id}
        if correlation_id := event.meta["correlation_id"]:
            attributes[semconv.MESSAGING_MESSAGE_CONVERSATION_ID] = correlation_id
        context = Context()
        if self._parent:
            context = set_span_in_context(NonRecordingSpan(publisher), context)
        links = [Link(publisher)] if publisher.is_valid else []
        span = self._start(subscriber, attributes, links, context)
        return _Processing(span, self._instruments, subscriber, (event.timestamp,), bound)

    def processing_batch(self, destination: Destination, group: str, batch: Batch) -> "_Processing":
        """Return the context manager for handling events at once: one span, a link to each.

        A link names its event: its trace id is the event's correlation id, its attribute the
        event's id.
        """
        subscriber = _subscriber(destination, group)
        attributes = subscriber.span | {semconv.MESSAGING_BATCH_MESSAGE_COUNT: len(batch)}
        publishers = [(event, remote(traceparent)) for event, traceparent in batch]
        links = [
            Link(publisher, {semconv.MESSAGING_MESSAGE_ID: event.id})
            for event, publisher in publishers
            if publisher.is_valid
        ]
        span = self._start(subscriber, attributes, links, Context())
        emitted = [event.timestamp for event, _ in batch]
        return _Processing(span, self._instruments, subscriber, emitted, {})

    def _start(
        self,
        subscriber: "_Subscriber",
        attributes: Attributes,
        links: Sequence[Link],
        context: Context,
    ) -> Span:
        return self._tracer.start_span(
            subscriber.span_name,
            context=context,
            kind=SpanKind.CONSUMER,
            links=links,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )

    def redelivered(self, group: str) -> None:
        """Count an event that is delivered again."""
        self._instruments.redelivered.add(1, {semconv.MESSAGING_CONSUMER_GROUP_NAME: group})

    def dead_lettered(self, group: str) -> None:
        """Count an event that became a dead letter."""
        self._instruments.dead_lettered.add(1, {semconv.MESSAGING_CONSUMER_GROUP_NAME: group})


class _Subscriber(NamedTuple):
    """The values that all events of a subscriber share."""

    span_name: str
    span: dict[str, str | int]
    duration: dict[str, str | int]
    critical_time: dict[str, str]


def _operation(name: str, destination: Destination) -> dict[str, str | int]:
    """Return the attributes of an operation; a stream in the process has no server."""
    system, stream, address, port = destination
    attributes: dict[str, str | int] = {
        semconv.MESSAGING_SYSTEM_NAME: system,
        semconv.MESSAGING_OPERATION_NAME: name,
        semconv.MESSAGING_DESTINATION_NAME: stream,
    }
    if address is not None:
        attributes[semconv.SERVER_ADDRESS] = address
    if port is not None:
        attributes[semconv.SERVER_PORT] = port
    return attributes


@cache
def _subscriber(destination: Destination, group: str) -> _Subscriber:
    common = _operation("process", destination) | {semconv.MESSAGING_CONSUMER_GROUP_NAME: group}
    return _Subscriber(
        span_name=f"process {destination[1]}",
        span=common | {semconv.MESSAGING_OPERATION_TYPE: "process"},
        duration=common,
        critical_time={semconv.MESSAGING_CONSUMER_GROUP_NAME: group},
    )


class _Processing:
    """The handling of events. It is a class, because a generator costs twice as much."""

    __slots__ = (
        "_bound",
        "_context",
        "_emitted",
        "_instruments",
        "_span",
        "_started",
        "_subscriber",
        "_tokens",
    )

    def __init__(
        self,
        span: Span,
        instruments: Instruments,
        subscriber: _Subscriber,
        emitted: Sequence[float],
        bound: dict[str, str | None],
    ) -> None:
        self._span = span
        self._instruments = instruments
        self._subscriber = subscriber
        self._emitted = emitted
        self._bound = bound

    def __enter__(self) -> None:
        self._started = time.perf_counter()
        self._context: Token[Context] = attach(set_span_in_context(self._span))
        self._tokens = bind_contextvars(**self._bound)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        reset_contextvars(**self._tokens)
        detach(self._context)
        span, attributes = self._span, self._subscriber.duration
        if kind is not None:
            attributes = attributes | {semconv.ERROR_TYPE: kind.__qualname__}
            if isinstance(error, Exception):
                span.set_attribute(semconv.ERROR_TYPE, kind.__qualname__)
                span.set_status(Status(StatusCode.ERROR, str(error)[:200]))
        span.end()
        instruments, now = self._instruments, time.time()
        instruments.process_duration.record(time.perf_counter() - self._started, attributes)
        for emitted in self._emitted:
            instruments.critical_time.record(
                max(0.0, now - emitted), self._subscriber.critical_time
            )
