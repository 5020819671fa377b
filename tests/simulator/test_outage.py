"""The demonstration's stream: away for a while, then everything is replayed in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from charter_otel.charter import Event, create
from charter_otel.simulator.delivery_counter import DeliveryCounter
from charter_otel.simulator.outage import REASON, InterruptibleStream
from charter_otel.streams import EventStream
from support.polling import eventually


@asynccontextmanager
async def running(stream: EventStream) -> AsyncIterator[None]:
    """Run a stream."""
    await stream.start()
    try:
        yield
    finally:
        await stream.stop()


def publish(stream: EventStream, number: int) -> None:
    """Publish an event that carries a number."""
    payload = {"job_id": "job", "started_at": float(number)}
    stream.publish_nowait(create("metrics.aggregation_started", payload, correlation_id=None))


def numbers(stream: EventStream) -> list[float]:
    """Subscribe; return the list that the numbers go into."""
    seen: list[float] = []

    @stream.subscribe("*")
    async def see(event: Event) -> None:
        seen.append(event.payload["started_at"])

    return seen


async def test_events_wait_on_disk_and_are_replayed_in_order(tmp_path: Path) -> None:
    """Nobody gets them meanwhile, and what comes during the replay comes after it."""
    stream = InterruptibleStream(tmp_path)
    seen = numbers(stream)
    async with running(stream):
        publish(stream, 0)
        stream.interrupt()
        for number in range(1, 400):
            publish(stream, number)
        await eventually(lambda: stream.statistics().spooled == 399, "they are on disk")
        assert seen == [0]
        stream.restore()
        publish(stream, 400)
        await eventually(lambda: len(seen) == 401, "they are replayed")
    assert seen == list(range(401))
    assert stream.statistics().replayed == 400


async def test_the_outage_has_a_beginning_and_an_end(tmp_path: Path) -> None:
    """The board tells since when, which is not since the start of the service."""
    stream = InterruptibleStream(tmp_path)
    async with running(stream):
        moments = [stream.statistics().since]
        stream.interrupt()
        moments.append(stream.statistics().since)
        stream.restore()
        moments.append(stream.statistics().since)
    assert None not in moments
    assert len({*moments}) == 3
    assert moments == sorted(moments, key=lambda moment: moment or 0.0)


async def test_while_it_is_away_it_says_so(tmp_path: Path) -> None:
    """As a Redis that cannot be reached: not connected, with the reason, and an exact account."""
    stream = InterruptibleStream(tmp_path)
    async with running(stream):
        publish(stream, 0)
        stream.interrupt()
        publish(stream, 1)
        known = stream.statistics()
        assert (known.connected, known.error) == (False, REASON)
        assert known.accepted == known.published + known.queued + known.spooled == 2
        stream.restore()
        await eventually(lambda: stream.statistics().connected, "it is back")


async def test_the_end_of_an_outage_is_not_needed(tmp_path: Path) -> None:
    """A demonstration that is stopped in the middle of it loses nothing either."""
    stream = InterruptibleStream(tmp_path)
    deliveries = DeliveryCounter(stream)
    async with running(stream):
        stream.interrupt()
        for number in range(10):
            publish(stream, number)
        await asyncio.sleep(0)
    assert deliveries.seen == 10
