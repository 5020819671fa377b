"""What an event stream does, as spans and metrics of the messaging conventions.

`StreamTelemetry` has the shape of `charter_otel.streams.base.Observer`; it imports nothing from
there, so that streams and OpenTelemetry stay apart.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from charter_otel.charter import Event
from charter_otel.otel import semconv
from charter_otel.otel.instrumentation import Instrumentation

_PROPAGATOR = TraceContextTextMapPropagator()


class StreamTelemetry:
    """Makes spans and metrics of publishing and handling.

    Args:
        instrumentation: Where they go.
        parent: True makes the handling span a child of the publisher's span instead of the root of
            a trace of its own that links to it.
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
        """Count events that the stream or a subscriber's queue gave up."""
        self._instruments.dropped(sink, reason, count)

    @contextmanager
    def processing(
        self, system: str, destination: str, group: str, event: Event, traceparent: str | None
    ) -> Iterator[None]:
        """Surround the handling of an event with a span, its duration and its correlation id."""
        attributes = {
            semconv.MESSAGING_SYSTEM: system,
            semconv.MESSAGING_OPERATION_NAME: "process",
            semconv.MESSAGING_CONSUMER_GROUP_NAME: group,
        }
        started = time.perf_counter()
        try:
            with (
                self._span(destination, event, traceparent, attributes),
                structlog.contextvars.bound_contextvars(
                    correlation_id=event.meta["correlation_id"], event_id=event.id
                ),
            ):
                yield
        except BaseException as error:
            attributes[semconv.ERROR_TYPE] = type(error).__qualname__
            raise
        finally:
            self._instruments.process_duration.record(time.perf_counter() - started, attributes)
            self._instruments.critical_time.record(
                max(0.0, time.time() - event.timestamp),
                {semconv.MESSAGING_CONSUMER_GROUP_NAME: group},
            )

    def redelivered(self, group: str) -> None:
        """Count an event that is delivered again."""
        self._instruments.redelivered.add(1, {semconv.MESSAGING_CONSUMER_GROUP_NAME: group})

    def dead_lettered(self, group: str) -> None:
        """Count an event that was given up."""
        self._instruments.dead_lettered.add(1, {semconv.MESSAGING_CONSUMER_GROUP_NAME: group})

    @contextmanager
    def _span(
        self, destination: str, event: Event, traceparent: str | None, common: dict[str, str]
    ) -> Iterator[Span]:
        publisher = _publisher(traceparent)
        linked = get_current_span(publisher).get_span_context()
        attributes = common | {
            semconv.MESSAGING_OPERATION_TYPE: "process",
            semconv.MESSAGING_DESTINATION_NAME: destination,
            semconv.MESSAGING_MESSAGE_ID: event.id,
            semconv.CHARTER_EVENT_TYPE: event.type,
        }
        if correlation_id := event.meta["correlation_id"]:
            attributes[semconv.MESSAGING_MESSAGE_CONVERSATION_ID] = correlation_id
        with self._tracer.start_as_current_span(
            f"process {destination}",
            context=publisher if self._parent else Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(linked)] if linked.is_valid else [],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, str(error)[:200]))
                raise


def _publisher(traceparent: str | None) -> Context:
    carrier = {"traceparent": traceparent} if traceparent else {}
    return _PROPAGATOR.extract(carrier, context=Context())
