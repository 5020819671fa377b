"""Observations of the event stream and the log, read when the metrics are collected."""

from collections.abc import Callable

from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments, Observed
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.otel.semconv import Metric
from charter_otel.streams import EventStream, Statistics

_STREAM: tuple[tuple[Metric, Callable[[Statistics], float]], ...] = (
    (semconv.CHARTER_STREAM_QUEUE_SIZE, lambda statistics: statistics.queued),
    (semconv.CHARTER_STREAM_QUEUE_CAPACITY, lambda statistics: statistics.capacity),
    (semconv.CHARTER_STREAM_SPOOL_SIZE, lambda statistics: statistics.spooled),
    (semconv.CHARTER_STREAM_SPOOL_RECOVERED, lambda statistics: statistics.recovered),
    (semconv.CHARTER_STREAM_SPOOL_REPLAYED, lambda statistics: statistics.replayed),
    (semconv.CHARTER_STREAM_RESTARTED, lambda statistics: statistics.restarted),
    (semconv.CHARTER_STREAM_ACCEPTED, lambda statistics: statistics.accepted),
)


def observe_stream(
    instruments: Instruments, stream: EventStream, running: Callable[[], bool] = lambda: True
) -> None:
    """Observe the metrics of the stream and its subscribers at each collection.

    Args:
        instruments: The instruments to observe.
        stream: The stream.
        running: Whether the service is running. A stopped stream is not connected either, so that
            the last collection would make each restart look like an outage.
    """

    def connected() -> Observed:
        if running():
            yield int(stream.statistics().connected), {semconv.MESSAGING_SYSTEM_NAME: stream.system}

    instruments.observe(semconv.CHARTER_STREAM_CONNECTED, connected)
    for metric, value in _STREAM:
        instruments.observe(metric, _of_stream(stream, value))

    def lag() -> Observed:
        for subscriber in stream.statistics().subscribers:
            yield subscriber.lag, {semconv.MESSAGING_CONSUMER_GROUP_NAME: subscriber.group}

    def age() -> Observed:
        for subscriber in stream.statistics().subscribers:
            yield subscriber.age, {semconv.MESSAGING_CONSUMER_GROUP_NAME: subscriber.group}

    instruments.observe(semconv.CHARTER_SUBSCRIBER_LAG, lag)
    instruments.observe(semconv.CHARTER_SUBSCRIBER_AGE, age)


def observe_lines(instruments: Instruments, writer: LineWriter) -> None:
    """Count, at each collection, the lines that stdout did not take."""

    def dropped() -> Observed:
        yield writer.dropped, {}

    instruments.observe(semconv.CHARTER_LOG_DROPPED, dropped)


def _of_stream(stream: EventStream, value: Callable[[Statistics], float]) -> Callable[[], Observed]:
    attributes = {semconv.MESSAGING_SYSTEM_NAME: stream.system}
    return lambda: [(value(stream.statistics()), attributes)]
