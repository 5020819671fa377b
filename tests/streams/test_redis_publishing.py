"""Publishing into Redis: in batches, once, and never waiting."""

import json
from pathlib import Path

import pytest

from charter_otel.streams import RedisStream
from charter_otel.streams.redis.layout import StreamKeys
from streams.backends import RedisBackend, Remembering, published, started
from streams.proxy import Proxy
from support.polling import eventually
from support.redis import RedisServer

pytestmark = pytest.mark.timeout(30)


async def test_publishing_costs_no_await(redis_backend: RedisBackend) -> None:
    """Queueing needs no turn of the loop, with or without a server."""
    stream = redis_backend.make()
    await stream.start()
    redis_backend.server.kill()
    events = [started(f"job-{n}") for n in range(2000)]
    for event in events:
        with pytest.raises(StopIteration):
            stream.publish(event).send(None)
    assert stream.statistics().queued == 2000


async def test_a_retried_batch_adds_nothing_twice(server: RedisServer) -> None:
    """The connection is cut between the batch's arrival and the reply; the retry adds nothing."""
    observer = Remembering()
    async with Proxy(server.port).running() as proxy:
        stream = RedisStream(proxy.url, observer=observer)
        await stream.start()
        await eventually(lambda: stream.statistics().connected, "connected")
        warm = started("warm")
        stream.publish_nowait(warm)
        await published(stream, 1)
        events = [started(f"job-{n}") for n in range(50)]
        proxy.lose_replies_to = events[0].id.encode()
        for event in events:
            stream.publish_nowait(event)
        await published(stream, 51)
        assert proxy.cuts == 1
        assert len(observer.failures) == 1
        await stream.stop(1)
    ids = [json.loads(f[b"event"])["id"] for _, f in RedisBackend(server).entries()]
    assert ids == [warm.id, *(event.id for event in events)]


async def test_an_event_published_by_two_processes_is_one_entry(
    redis_backend: RedisBackend,
) -> None:
    """A replay after a restart adds nothing twice either."""
    event = started("a")
    for _ in range(2):
        stream = redis_backend.make()
        stream.publish_nowait(event)
        await stream.start()
        await published(stream, 1)
    assert len(redis_backend.entries()) == 1


async def test_a_refused_entry_does_not_hold_up_the_others(redis_backend: RedisBackend) -> None:
    """One event that the server refuses is given up and counted; those around it go through."""
    observer = Remembering()
    stream = redis_backend.make(observer=observer)
    assert isinstance(stream, RedisStream)
    script = stream._publisher._script
    script._source = "if string.find(ARGV[3], 'poison') then error('no') end\n" + script._source
    events = [started("a"), started("poison"), started("b")]
    for event in events:
        stream.publish_nowait(event)
    await stream.start()
    await published(stream, 2)
    ids = [json.loads(f[b"event"])["id"] for _, f in redis_backend.entries()]
    assert ids == [events[0].id, events[2].id]
    assert observer.drops == [(1, "refused")]
    assert stream.statistics().queued == 0


async def test_a_server_that_refuses_everything_loses_nothing(
    redis_backend: RedisBackend,
) -> None:
    """A key of the wrong type keeps the events waiting until somebody mends it."""
    server = redis_backend.server
    server.command("SET", "{charter}:events", "in the way")
    stream = redis_backend.make()
    await stream.start()
    for n in range(3):
        stream.publish_nowait(started(f"job-{n}"))
    await eventually(lambda: stream.statistics().error, "an error")
    assert "WRONGTYPE" in (stream.statistics().error or "")
    server.command("DEL", "{charter}:events")
    await published(stream, 3)
    await eventually(lambda: stream.statistics().connected, "connected")
    assert stream.statistics().dropped == 0


async def test_a_fault_that_hits_every_event_loses_none(redis_backend: RedisBackend) -> None:
    """When nothing at all gets through, the fault is not the events', and they wait."""
    stream = redis_backend.make()
    assert isinstance(stream, RedisStream)
    script = stream._publisher._script
    source = script._source
    script._source = "error('no')"
    events = [started("a"), started("b")]
    for event in events:
        stream.publish_nowait(event)
    await stream.start()
    await eventually(lambda: stream.statistics().error, "an error")
    assert stream.statistics().queued == 2
    script._source, script._digest = source, ""
    await published(stream, 2)
    assert stream.statistics().dropped == 0


async def test_a_server_out_of_memory_loses_nothing(server_directory: Path) -> None:
    """Events wait while the server refuses writes for want of memory."""
    server = RedisServer(server_directory)
    server.start()
    backend = RedisBackend(server)
    try:
        stream = backend.make()
        await stream.start()
        await eventually(lambda: stream.statistics().connected, "connected")
        server.command("CONFIG", "SET", "maxmemory", "1")
        stream.publish_nowait(started("a"))
        await eventually(lambda: stream.statistics().error, "an error")
        server.command("CONFIG", "SET", "maxmemory", "0")
        await published(stream, 1)
    finally:
        await backend.close()
        server.stop()


async def test_a_broken_memory_of_ids_does_not_stop_publishing(
    redis_backend: RedisBackend,
) -> None:
    """If ids cannot be remembered, events are published all the same."""
    event = started("a")
    key = StreamKeys().published(int(event.id.split("_")[2]) // 60_000)
    redis_backend.server.command("SET", key, "in the way")
    stream = redis_backend.make()
    await stream.start()
    stream.publish_nowait(event)
    await published(stream, 1)
    assert len(redis_backend.entries()) == 1


async def test_an_enormous_event_is_refused_at_once(redis_backend: RedisBackend) -> None:
    """An envelope beyond the limit never reaches the queue, where it could do harm."""
    observer = Remembering()
    stream = redis_backend.make(observer=observer)
    assert not stream.publish_nowait(started("x" * 300_000))
    assert observer.drops == [(1, "refused")]
