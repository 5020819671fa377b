"""A stream in Redis with a spool: outages, restarts and the ledger."""

import asyncio
from pathlib import Path

from charter_otel.streams import EventStream
from streams.backends import (
    RedisBackend,
    Remembering,
    Stopwatch,
    latest_is,
    published,
    started,
    subscribe,
)
from support.polling import eventually


def balance(stream: EventStream) -> int:
    """Return by how much the ledger is off."""
    now = stream.statistics()
    waiting = now.queued + now.spooled
    return now.accepted + now.recovered - now.published - waiting - now.dropped


async def test_an_outage_longer_than_the_queue_loses_nothing(
    redis_backend: RedisBackend, tmp_path: Path
) -> None:
    """Events far beyond the queue's capacity wait on disk, and arrive once and in order."""
    stream = redis_backend.make(capacity=10, spool=tmp_path)
    seen = subscribe(stream)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    redis_backend.server.kill()
    events = [started(f"job-{n}") for n in range(500)]
    for event in events:
        stream.publish_nowait(event)
        assert balance(stream) == 0
        await asyncio.sleep(0)
        if len(seen.events) or stream.statistics().queued > 20:
            await asyncio.sleep(0.02)
    await eventually(lambda: stream.statistics().spooled == 500, "all on disk")
    redis_backend.server.start()
    while stream.statistics().published < 500:
        assert balance(stream) == 0
        await asyncio.sleep(0.001)
    await seen.has(500)
    assert list(dict.fromkeys(seen.ids)) == [event.id for event in events]
    assert len(redis_backend.entries()) == 500
    assert stream.statistics().replayed == 500


async def test_a_stop_in_an_outage_leaves_events_on_disk(
    redis_backend: RedisBackend, tmp_path: Path
) -> None:
    """The next process publishes them before its own; nothing is dropped."""
    observer = Remembering()
    stream = redis_backend.make(spool=tmp_path, observer=observer)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    redis_backend.server.pause()
    events = [started(f"job-{n}") for n in range(7)]
    for event in events:
        stream.publish_nowait(event)
    with Stopwatch() as watch:
        await stream.stop(0.5)
    assert watch.seconds < 5
    assert observer.drops == []
    assert (stream.statistics().spooled, balance(stream)) == (7, 0)
    redis_backend.server.resume()

    successor = redis_backend.make(spool=tmp_path)
    await successor.start()
    newest = started("newest")
    successor.publish_nowait(newest)
    await published(successor, 8)
    await latest_is(successor, newest)
    seen = [event.id for event in await successor.read(limit=100)]
    assert seen == [event.id for event in [*events, newest]]
    assert (successor.statistics().recovered, balance(successor)) == (7, 0)


async def test_a_restarted_stream_counts_what_it_left_once(
    redis_backend: RedisBackend, tmp_path: Path
) -> None:
    """Stopping and starting the same stream keeps the ledger."""
    stream = redis_backend.make(spool=tmp_path)
    redis_backend.server.kill()
    await stream.start()
    stream.publish_nowait(started("a"))
    await stream.stop(0.2)
    assert balance(stream) == 0
    redis_backend.server.start()
    await stream.start()
    await published(stream, 1)
    assert balance(stream) == 0
    assert stream.statistics().recovered == 0


async def test_another_streams_events_are_left_alone(
    redis_backend: RedisBackend, tmp_path: Path
) -> None:
    """Two streams may share a state directory; neither publishes what is the other's."""
    stream = redis_backend.make(spool=tmp_path, prefix="{one}")
    redis_backend.server.kill()
    await stream.start()
    stream.publish_nowait(started("a"))
    await stream.stop(0.2)
    other = redis_backend.make(spool=tmp_path, prefix="{two}")
    await other.start()
    assert other.statistics().recovered == 0
