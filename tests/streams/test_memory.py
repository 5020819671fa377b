"""Properties of the stream within one process only."""

import asyncio

import pytest

from charter_otel.streams import MemoryStream
from streams.backends import Remembering, Seen, started
from support.polling import eventually

pytestmark = pytest.mark.timeout(20)


async def test_a_slow_subscribers_queue_is_its_own() -> None:
    """The subscriber that hangs loses its oldest events, counted; the other one loses none."""
    observer = Remembering()
    stream = MemoryStream(capacity=5, observer=observer)
    slow, good = Seen(), Seen()
    slow.gate.clear()
    stream.subscribe("*", group="slow")(slow)
    stream.subscribe("*", group="good")(good)
    await stream.start()
    events = [started(f"job-{n}") for n in range(10)]
    for n, event in enumerate(events):
        assert stream.publish_nowait(event) is (n < 6)
        await good.has(n + 1)
    assert stream.statistics().dropped == 4
    assert observer.drops == [(1, "queue_full")] * 4
    assert stream.statistics().subscribers[0].lag == 6
    slow.gate.set()
    await slow.has(6)
    assert slow.events == [events[0], *events[5:]]
    assert good.events == events
    await stream.stop(1)


async def test_a_stop_delivers_what_waits() -> None:
    """Nothing outlives the process, so what can be delivered in time is delivered."""
    stream = MemoryStream()
    seen = Seen()
    stream.subscribe("*", group="g")(seen)
    await stream.start()
    events = [started(f"job-{n}") for n in range(100)]
    for event in events:
        stream.publish_nowait(event)
    await stream.stop(2)
    assert seen.events == events


async def test_dead_letters_are_bounded() -> None:
    """A subscriber that fails for ever does not fill the memory."""
    stream = MemoryStream(max_deliveries=1)
    failing = Seen()
    failing.failures = 10_000
    stream.subscribe("*", group="g")(failing)
    await stream.start()
    for n in range(1100):
        stream.publish_nowait(started(f"job-{n}"))
    await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "all given up")
    assert len(stream.dead_letters) == 1000
    assert stream.dead_letters[-1].event.payload["job_id"] == "job-1099"
    await stream.stop(1)


async def test_a_stop_during_a_redelivery_keeps_the_event_and_its_count() -> None:
    """An event that is between two deliveries comes again, one delivery older."""
    stream = MemoryStream(max_deliveries=3, redelivery_delay=5)
    failing = Seen()
    failing.failures = 10
    stream.subscribe("*", group="g")(failing)
    await stream.start()
    stream.publish_nowait(started("job"))
    await failing.has(1)
    await stream.stop(1)
    assert stream.statistics().subscribers[0].lag == 1
    stream._queues[0]._delivery._delay = 0.001
    await stream.start()
    await eventually(lambda: stream.dead_letters, "a dead letter")
    assert len(failing.events) == 3
    assert stream.dead_letters[0].deliveries == 3
    await stream.stop(1)


async def test_publishing_reaches_the_observer_once_a_turn() -> None:
    """Telling the observer is kept out of the publisher's way."""
    observer = Remembering()
    stream = MemoryStream(observer=observer)
    await stream.start()
    for n in range(10):
        stream.publish_nowait(started(f"job-{n}"))
    assert not observer.batches
    await asyncio.sleep(0)
    assert observer.batches == [10]
    await stream.stop(1)
