"""The contract of event streams from start to stop; each test runs on each backend."""

import asyncio
import contextvars
import threading

import msgspec
import pytest

from charter_otel.charter import Event
from charter_otel.streams import StreamUnavailable
from streams.backends import (
    Backend,
    Remembering,
    Stopwatch,
    established,
    started,
    subscribe,
)
from support.fake_time import settle
from support.polling import eventually

pytestmark = pytest.mark.timeout(20)


async def test_a_full_queue_drops_the_oldest_and_counts(backend: Backend) -> None:
    """With room for five of eight events the last five arrive, and three drops are told."""
    observer = Remembering()
    stream = backend.make(capacity=5, observer=observer)
    seen = subscribe(stream)
    events = [started(f"job-{n}") for n in range(8)]
    taken = [stream.publish_nowait(event) for event in events]
    assert taken == [True] * 5 + [False] * 3
    assert stream.statistics().dropped == 3
    assert stream.statistics().capacity == 5 * backend.partitions
    assert observer.drops == [(1, "queue_full")] * 3
    await stream.start()
    await seen.has(5)
    assert seen.events == events[3:]


async def test_publishing_before_the_start_is_publishing(backend: Backend) -> None:
    """Events that were published before the start arrive after it."""
    stream = backend.make()
    seen = subscribe(stream)
    event = started("job")
    assert stream.publish_nowait(event)
    await stream.start()
    await seen.has(1)
    assert seen.events == [event]


async def test_publishing_after_the_stop_is_a_counted_drop(backend: Backend) -> None:
    """An event that comes too late is neither an error nor silent."""
    observer = Remembering()
    stream = backend.make(observer=observer)
    await stream.start()
    await stream.stop(1)
    assert not stream.publish_nowait(started("late"))
    assert observer.drops == [(1, "stopped")]
    assert stream.statistics().dropped == 1


async def test_publishing_works_from_other_threads(backend: Backend) -> None:
    """A synchronous route handler emits from a worker thread; asyncio's debug mode agrees."""
    asyncio.get_running_loop().set_debug(enabled=True)
    stream = backend.make()
    seen = subscribe(stream)
    await stream.start()
    events = [started(f"job-{n}") for n in range(20)]
    thread = threading.Thread(target=lambda: [stream.publish_nowait(e) for e in events])
    thread.start()
    await seen.has(20)
    thread.join()
    assert seen.events == events


async def test_an_event_without_a_proper_id_is_refused_to_its_publisher(backend: Backend) -> None:
    """An event made by hand with a wrong id is an error where it is published."""
    stream = backend.make()
    wrong = msgspec.structs.replace(started("a"), id="evt_x")
    with pytest.raises(ValueError, match="not an event id"):
        stream.publish_nowait(wrong)


async def test_statistics_show_the_state(backend: Backend) -> None:
    """Counts, connection and capacity are right at every moment that matters."""
    stream = backend.make()
    seen = subscribe(stream, "metrics.*")
    assert not stream.statistics().connected
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    for event in (started("a"), established("r1"), started("b")):
        stream.publish_nowait(event)
    await seen.has(2)
    await eventually(lambda: stream.statistics().published == 3, "three published")
    statistics = stream.statistics()
    assert (statistics.system, statistics.dropped, statistics.error) == (backend.name, 0, None)
    assert statistics.queued == 0
    assert [s.group for s in statistics.subscribers] == ["g"]
    await stream.stop(1)
    assert not stream.statistics().connected


async def test_a_publishers_context_does_not_reach_the_handlers(backend: Backend) -> None:
    """A span or log context that is current at start or publish is not the handler's."""
    variable = contextvars.ContextVar("variable", default="clean")
    stream = backend.make()
    found: list[str] = []

    @stream.subscribe("*", group="g")
    async def handler(event: Event) -> None:
        del event
        found.append(variable.get())

    variable.set("leaked")
    await stream.start()
    stream.publish_nowait(started("job"))
    await eventually(lambda: found, "one delivery")
    assert found == ["clean"]


async def test_a_stop_keeps_its_deadline_and_leaves_no_task(backend: Backend) -> None:
    """With a handler that hangs the stop ends in time, and every task is gone."""
    before = asyncio.all_tasks()
    stream = backend.make()
    seen = subscribe(stream)
    seen.gate.clear()
    await stream.start()
    stream.publish_nowait(started("job"))
    await seen.has(1)
    with Stopwatch() as watch:
        await stream.stop(0.4)
    assert 0.25 < watch.seconds < 5
    assert asyncio.all_tasks() == before


async def test_a_stop_lets_a_running_handler_end(backend: Backend) -> None:
    """A handler that needs a little longer finishes, and its event does not come again."""
    stream = backend.make()
    seen = subscribe(stream)
    seen.gate.clear()
    await stream.start()
    stream.publish_nowait(started("job"))
    await seen.has(1)
    stopping = asyncio.create_task(stream.stop(20))
    await settle()
    seen.gate.set()
    with Stopwatch() as watch:
        await stopping
    assert watch.seconds < 10
    assert stream.statistics().subscribers[0].delivered == 1
    await stream.start()
    stream.publish_nowait(started("next"))
    await seen.has(2)
    assert [event.payload["job_id"] for event in seen.events] == ["job", "next"]


async def test_a_stream_may_be_stopped_twice_and_without_a_start(backend: Backend) -> None:
    """Stopping is always allowed; what waits in a stream that never ran is given up or kept."""
    stream = backend.make()
    await stream.stop(0.1)
    await stream.start()
    await stream.start()
    await stream.stop(0.5)
    await stream.stop(0.5)


def test_unavailable_is_a_connection_error() -> None:
    """Code that handles connection errors handles an unavailable stream."""
    assert issubclass(StreamUnavailable, ConnectionError)
