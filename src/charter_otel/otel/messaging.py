"""The work of an event stream as spans and metrics of the messaging conventions.

`StreamTelemetry` has the shape of `charter_otel.streams.types.Observer`; it imports nothing from
there, so that streams and OpenTelemetry stay apart.
"""

import re
import time
from contextvars import Token
from functools import cache
from types import TracebackType
from typing import NamedTuple

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from structlog.contextvars import bind_contextvars, reset_contextvars

from charter_otel.charter import Event
from charter_otel.otel import semconv
from charter_otel.otel.instrumentation import Instrumentation
from charter_otel.otel.instruments import Instruments

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class StreamTelemetry:
    """Makes spans and metrics of publishing and handling.

    Args:
        instrumentation: Where the spans and metrics go.
        parent: True makes the handling span a child of the publisher's span. Otherwise it is the
            root of a trace of its own, which links to that span.
    """

    def __init__(self, instrumentation: Instrumentation, *, parent: bool = False) -> None:
        self._tracer = instrumentation.tracer
        self._instruments = instrumentation.instruments
        self._parent = parent

    def published(
        self, system: str, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """Record a batch that was sent, or failed to be."""
        attributes = {
            semconv.MESSAGING_SYSTEM: system,
            semconv.MESSAGING_OPERATION_NAME: "send",
        }
        if error is None:
            self._instruments.sent_messages.add(count, attributes)
        else:
            attributes[semconv.ERROR_TYPE] = type(error).__qualname__
        self._instruments.operation_duration.record(seconds, attributes)

    def dropped(self, count: int, reason: str, sink: str = "stream") -> None:
        """Count events that the stream or a subscriber's queue dropped."""
        self._instruments.dropped(sink, reason, count)

    def processing(
        self, system: str, destination: str, group: str, event: Event, traceparent: str | None
    ) -> "_Processing":
        """Return the context manager for handling an event: span, duration and correlation id."""
        return _Processing(
            self._tracer,
            self._instruments,
            _subscriber(system, destination, group),
            event,
            _publisher(traceparent),
            parent=self._parent,
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
    span: dict[str, str]
    duration: dict[str, str]
    critical_time: dict[str, str]


@cache
def _subscriber(system: str, destination: str, group: str) -> _Subscriber:
    common = {
        semconv.MESSAGING_SYSTEM: system,
        semconv.MESSAGING_OPERATION_NAME: "process",
        semconv.MESSAGING_CONSUMER_GROUP_NAME: group,
    }
    of_destination = {
        semconv.MESSAGING_OPERATION_TYPE: "process",
        semconv.MESSAGING_DESTINATION_NAME: destination,
    }
    return _Subscriber(
        span_name=f"process {destination}",
        span=common | of_destination,
        duration=common,
        critical_time={semconv.MESSAGING_CONSUMER_GROUP_NAME: group},
    )


class _Processing:
    """The handling of one event. It is a class, because a generator costs twice as much."""

    __slots__ = (
        "_bound",
        "_context",
        "_event",
        "_instruments",
        "_parent",
        "_publisher",
        "_span",
        "_started",
        "_subscriber",
        "_tracer",
    )

    def __init__(
        self,
        tracer: Tracer,
        instruments: Instruments,
        subscriber: _Subscriber,
        event: Event,
        publisher: SpanContext,
        *,
        parent: bool,
    ) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._subscriber = subscriber
        self._event = event
        self._publisher = publisher
        self._parent = parent

    def __enter__(self) -> None:
        event = self._event
        self._started = time.perf_counter()
        self._span = self._start_span(event)
        self._context: Token[Context] = attach(set_span_in_context(self._span))
        self._bound = bind_contextvars(
            correlation_id=event.meta["correlation_id"], event_id=event.id
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        reset_contextvars(**self._bound)
        detach(self._context)
        span, attributes = self._span, self._subscriber.duration
        if kind is not None:
            attributes = attributes | {semconv.ERROR_TYPE: kind.__qualname__}
            if isinstance(error, Exception):
                span.set_attribute(semconv.ERROR_TYPE, kind.__qualname__)
                span.set_status(Status(StatusCode.ERROR, str(error)[:200]))
        span.end()
        instruments = self._instruments
        instruments.process_duration.record(time.perf_counter() - self._started, attributes)
        instruments.critical_time.record(
            max(0.0, time.time() - self._event.timestamp), self._subscriber.critical_time
        )

    def _start_span(self, event: Event) -> Span:
        publisher = self._publisher
        attributes = self._subscriber.span | {
            semconv.MESSAGING_MESSAGE_ID: event.id,
            semconv.CHARTER_EVENT_TYPE: event.type,
        }
        if correlation_id := event.meta["correlation_id"]:
            attributes[semconv.MESSAGING_MESSAGE_CONVERSATION_ID] = correlation_id
        context = Context()
        if self._parent:
            context = set_span_in_context(NonRecordingSpan(publisher), context)
        return self._tracer.start_span(
            self._subscriber.span_name,
            context=context,
            kind=SpanKind.CONSUMER,
            links=[Link(publisher)] if publisher.is_valid else [],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )


def _publisher(traceparent: str | None) -> SpanContext:
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return INVALID_SPAN_CONTEXT
    return SpanContext(
        trace_id=int(found[1], 16),
        span_id=int(found[2], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(found[3], 16)),
    )
