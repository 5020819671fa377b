"""A stream's work as spans and metrics of the messaging conventions."""

from collections.abc import Sequence

import pytest
import structlog
from opentelemetry import trace

from charter_otel.charter import Event, create
from charter_otel.otel import StreamTelemetry
from charter_otel.streams.delivery import Delivery
from charter_otel.streams.types import Destination, Observer, Subscription
from charter_otel.testing import Capture, CapturedPoint
from support.events import PAYLOADS

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
MEMORY = Destination("memory", "charter:events")
REDIS = Destination("redis", "{charter}:events", "redis.example.com", 6379)
COMMON = {
    "messaging.system.name": "memory",
    "messaging.operation.name": "process",
    "messaging.destination.name": "charter:events",
    "messaging.consumer.group.name": "board",
}


@pytest.fixture
def event(charter_capture: Capture) -> Event:
    """Return an event of a unit of work."""
    return create(
        "metrics.aggregation_started",
        PAYLOADS["metrics.aggregation_started"],
        correlation_id=TRACE_ID,
        timestamp_ns=charter_capture.clock.nanoseconds,
    )


@pytest.fixture
def telemetry(charter_capture: Capture) -> StreamTelemetry:
    """Return an observer with the default of a link."""
    return StreamTelemetry(charter_capture.instrumentation)


def test_is_an_observer(telemetry: StreamTelemetry) -> None:
    """It has the shape that the streams ask for, though it imports nothing of theirs."""
    observer: Observer = telemetry
    assert observer is telemetry


def test_handling_links_to_the_publisher(
    telemetry: StreamTelemetry, event: Event, charter_capture: Capture
) -> None:
    """The handling is a trace of its own that links to the publisher's."""
    with telemetry.processing(MEMORY, "board", event, TRACEPARENT):
        pass
    [span] = charter_capture.spans
    assert span._replace(attributes={}) == (
        "process charter:events",
        "consumer",
        f"{1:032x}",
        f"{1:016x}",
        None,
        {},
        (),
        (TRACE_ID,),
        "unset",
    )
    assert span.attributes == COMMON | {
        "messaging.operation.type": "process",
        "messaging.destination.name": "charter:events",
        "messaging.message.id": event.id,
        "messaging.message.conversation_id": TRACE_ID,
        "charter.event.type": event.type,
    }


async def test_a_batch_is_one_span_with_a_link_to_each_event_s_trace(
    telemetry: StreamTelemetry, event: Event, charter_capture: Capture
) -> None:
    """Handled at once, each event still leads to its handling: a link has its trace and its id."""

    async def handler(_: Sequence[Event]) -> None:
        """Take everything."""

    other = TRACEPARENT.replace("4bf9", "5bf9")
    subscription = Subscription(_alone, frozenset(), "board", "new", handler)
    delivery = Delivery(subscription, telemetry, destination=MEMORY)
    batch = [(event, TRACEPARENT), (event, other), (event, None)]
    assert await delivery.settle_batch(handler, batch, _NoLedger())
    [span] = charter_capture.spans
    assert span.links == (TRACE_ID, TRACE_ID.replace("4bf9", "5bf9"))
    assert span.parent_id is None
    assert span.attributes == COMMON | {
        "messaging.operation.type": "process",
        "messaging.destination.name": "charter:events",
        "messaging.batch.message_count": 3,
    }
    assert structlog.contextvars.get_contextvars() == {}
    metrics = charter_capture.metrics()
    assert [point.measurements for point in metrics["messaging.process.duration"]] == [1]
    assert [point.measurements for point in metrics["charter.subscriber.critical_time"]] == [3]


def test_a_link_of_a_batch_names_its_event(event: Event, charter_capture: Capture) -> None:
    """The link's attribute is the event's id; a batch links although `parent` is asked for."""
    telemetry = StreamTelemetry(charter_capture.instrumentation, parent=True)
    with telemetry.processing_batch(MEMORY, "board", [(event, TRACEPARENT)] * 100):
        pass
    [span] = charter_capture.raw_spans
    assert span.parent is None
    assert [dict(link.attributes or {}) for link in span.links] == [
        {"messaging.message.id": event.id}
    ] * 100


class _NoLedger:
    """Remembers nothing."""

    async def count(self, deliveries: int) -> None:
        """Do nothing."""

    async def postpone(self) -> None:
        """Do nothing."""

    def done(self) -> None:
        """Do nothing."""

    async def dead_letter(self, error: str, deliveries: int) -> None:
        """Do nothing."""


async def _alone(_: Event) -> None:
    """Take an event."""


def test_handling_is_a_child_on_request(event: Event, charter_capture: Capture) -> None:
    """With `parent`, the handling is part of the publisher's trace."""
    telemetry = StreamTelemetry(charter_capture.instrumentation, parent=True)
    with telemetry.processing(MEMORY, "board", event, TRACEPARENT):
        pass
    [span] = charter_capture.spans
    assert (span.trace_id, span.parent_id) == (TRACE_ID, "00f067aa0ba902b7")


@pytest.mark.parametrize("traceparent", [None, "", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_handling_without_a_publisher_s_trace(
    traceparent: str | None, telemetry: StreamTelemetry, event: Event, charter_capture: Capture
) -> None:
    """Without a valid trace to link to there is no link, and no error."""
    with (
        charter_capture.instrumentation.tracer.start_as_current_span("consumer loop"),
        telemetry.processing(MEMORY, "board", event, traceparent),
    ):
        pass
    span = charter_capture.spans[0]
    assert (span.links, span.parent_id) == ((), None)


def test_event_without_a_unit_of_work(telemetry: StreamTelemetry, charter_capture: Capture) -> None:
    """An event without a correlation id gives no conversation id."""
    event = create("metrics.aggregation_started", PAYLOADS["metrics.aggregation_started"])
    with telemetry.processing(MEMORY, "board", event, None):
        pass
    assert "messaging.message.conversation_id" not in charter_capture.spans[0].attributes


def test_handler_s_lines_carry_the_correlation_id(
    telemetry: StreamTelemetry, event: Event, charter_capture: Capture
) -> None:
    """Lines that the handler writes name the event and its unit of work, others do not."""
    log = structlog.get_logger("board")
    with telemetry.processing(MEMORY, "board", event, TRACEPARENT):
        log.info("inside")
    log.info("outside")
    inside, outside = charter_capture.lines
    assert (inside["correlation_id"], inside["event_id"]) == (TRACE_ID, event.id)
    assert inside["trace_id"] == f"{1:032x}"
    assert outside.keys().isdisjoint({"correlation_id", "event_id", "trace_id"})


def test_handling_is_measured(
    telemetry: StreamTelemetry, event: Event, charter_capture: Capture
) -> None:
    """Duration and critical time are recorded, in seconds."""
    with telemetry.processing(MEMORY, "board", event, None):
        pass
    metrics = charter_capture.metrics()
    [duration] = metrics["messaging.process.duration"]
    [critical] = metrics["charter.subscriber.critical_time"]
    assert (duration.attributes, duration.measurements) == (COMMON, 1)
    assert 0 <= duration.value < 1
    assert critical.attributes == {"messaging.consumer.group.name": "board"}
    assert critical.value > 1e7  # the event is of 2023


def test_event_of_the_future_has_no_negative_critical_time(
    telemetry: StreamTelemetry, charter_capture: Capture
) -> None:
    """A publisher's clock that is ahead gives zero, which a histogram takes."""
    event = create(
        "metrics.aggregation_started",
        PAYLOADS["metrics.aggregation_started"],
        timestamp_ns=9 * 10**18,
    )
    with telemetry.processing(MEMORY, "board", event, None):
        pass
    assert charter_capture.metrics()["charter.subscriber.critical_time"][0].value == 0


def test_handler_that_raises(
    telemetry: StreamTelemetry, event: Event, charter_capture: Capture
) -> None:
    """The error passes through, and stands on span and metric under the same name."""
    with (
        pytest.raises(KeyError),
        telemetry.processing(MEMORY, "board", event, TRACEPARENT),
    ):
        raise KeyError("robot_9")
    [span] = charter_capture.spans
    assert (span.status, span.attributes["error.type"], span.events) == ("error", "KeyError", ())
    [duration] = charter_capture.metrics()["messaging.process.duration"]
    assert duration.attributes == COMMON | {"error.type": "KeyError"}
    assert not trace.get_current_span().get_span_context().is_valid


def test_handling_names_the_server(
    telemetry: StreamTelemetry, event: Event, charter_capture: Capture
) -> None:
    """Span and duration say where the stream is; a socket in the file system has no port."""
    socket = Destination("redis", "{charter}:events", "/run/redis.sock")
    for destination in (REDIS, socket):
        with telemetry.processing(destination, "board", event, None):
            pass
    servers = [("redis.example.com", 6379), ("/run/redis.sock", None)]
    durations = charter_capture.metrics()["messaging.process.duration"]
    for signals in (charter_capture.spans, durations):
        named = [
            (each.attributes["server.address"], each.attributes.get("server.port"))
            for each in signals
        ]
        assert named == servers


def test_publishing_is_measured(telemetry: StreamTelemetry, charter_capture: Capture) -> None:
    """A batch counts its messages and its duration; one that failed names the error instead."""
    telemetry.published(REDIS, 100, 0.002, None)
    telemetry.published(REDIS, 50, 0.5, ConnectionError())
    sent = {
        "messaging.system.name": "redis",
        "messaging.operation.name": "send",
        "messaging.destination.name": "{charter}:events",
        "server.address": "redis.example.com",
        "server.port": 6379,
    }
    operation = sent | {"messaging.operation.type": "send"}
    metrics = charter_capture.metrics()
    assert metrics["messaging.client.sent.messages"] == [CapturedPoint(sent, 100)]
    assert metrics["messaging.client.operation.duration"] == [
        CapturedPoint(operation, 0.002, 1),
        CapturedPoint(operation | {"error.type": "ConnectionError"}, 0.5, 1),
    ]


def test_failures_are_counted(telemetry: StreamTelemetry, charter_capture: Capture) -> None:
    """Drops, redeliveries and dead letters each have their count."""
    telemetry.dropped(3, "queue_full")
    telemetry.redelivered("board")
    telemetry.dead_lettered("board")
    group = {"messaging.consumer.group.name": "board"}
    metrics = charter_capture.metrics()
    assert metrics["charter.event.dropped"] == [
        CapturedPoint({"charter.sink": "stream", "charter.drop_reason": "queue_full"}, 3)
    ]
    assert metrics["charter.subscriber.redelivered"] == [CapturedPoint(group, 1)]
    assert metrics["charter.subscriber.dead_lettered"] == [CapturedPoint(group, 1)]
