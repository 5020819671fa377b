"""Redis killed, paused, restarted, locked and emptied."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import structlog

from charter_otel.streams import RedisStream, StreamUnavailable
from charter_otel.streams.redis.health import RedisHealth
from streams.backends import (
    RedisBackend,
    Remembering,
    Stopwatch,
    latest_is,
    next_of,
    published,
    started,
    subscribe,
)
from support.polling import eventually
from support.redis import RedisServer

pytestmark = pytest.mark.timeout(30)


async def test_a_killed_server_comes_back_with_everything(redis_backend: RedisBackend) -> None:
    """Events published while the server is down arrive in order once it is back with its data."""
    server = redis_backend.server
    stream = redis_backend.make()
    seen = subscribe(stream)
    await stream.start()
    events = [started(f"job-{n}") for n in range(300)]
    for event in events[:100]:
        stream.publish_nowait(event)
    await seen.has(100)
    server.kill()
    for event in events[100:]:
        stream.publish_nowait(event)
    await eventually(lambda: not stream.statistics().connected, "the loss is seen")
    assert stream.statistics().queued == 200
    server.start()
    await published(stream, 300)
    await eventually(lambda: set(seen.ids) == {e.id for e in events}, "all arrived")
    await eventually(lambda: stream.statistics().connected, "connected")
    # Redelivered are at most those whose acknowledgement the kill swallowed, before any new one.
    assert list(dict.fromkeys(seen.ids)) == [event.id for event in events]
    assert stream.statistics().dropped == 0


async def test_a_stream_starts_without_a_server(server_directory: Path) -> None:
    """Start, publish and subscribe work before the server is there; nothing is missed."""
    server = RedisServer(server_directory)
    stream = RedisStream(server.url)
    seen = subscribe(stream)
    try:
        with Stopwatch() as watch:
            await stream.start()
        assert watch.seconds < 2
        event = started("a")
        stream.publish_nowait(event)
        await eventually(lambda: stream.statistics().error, "an error")
        server.start()
        await seen.has(1)
        assert seen.events == [event]
    finally:
        await stream.stop(1)
        server.stop()


async def test_a_paused_server_is_noticed_and_survived(redis_backend: RedisBackend) -> None:
    """A server that never answers counts as unreachable; afterwards nothing is missing."""
    server = redis_backend.server
    stream = redis_backend.make()
    seen = subscribe(stream)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    server.pause()
    begun = time.monotonic()
    events = [started(f"job-{n}") for n in range(50)]
    for event in events:
        stream.publish_nowait(event)
    await eventually(lambda: not stream.statistics().connected, "the silence is noticed")
    assert time.monotonic() - begun < 5
    server.resume()
    await published(stream, 50)
    await eventually(lambda: set(seen.ids) == {e.id for e in events}, "all arrived")
    assert len(redis_backend.entries()) == 50


async def test_a_stop_without_a_server_keeps_its_deadline_and_counts(
    redis_backend: RedisBackend,
) -> None:
    """Events that cannot be flushed in time are counted as unreachable."""
    observer = Remembering()
    stream = redis_backend.make(observer=observer)
    subscribe(stream)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    redis_backend.server.pause()
    for n in range(7):
        stream.publish_nowait(started(f"job-{n}"))
    with Stopwatch() as watch:
        await stream.stop(0.5)
    assert watch.seconds < 5
    assert observer.drops == [(7, "unreachable")]
    redis_backend.server.resume()


async def test_a_stop_flushes_what_is_queued(redis_backend: RedisBackend) -> None:
    """Everything that was published before the stop is in Redis after it."""
    stream = redis_backend.make()
    await stream.start()
    for n in range(1000):
        stream.publish_nowait(started(f"job-{n}"))
    await stream.stop(5)
    assert len(redis_backend.entries()) == 1000
    assert stream.statistics().dropped == 0


async def test_the_oldest_goes_when_an_outage_outlasts_the_queue(
    redis_backend: RedisBackend,
) -> None:
    """The batch in hand belongs to the queue: after the outage the newest events are there."""
    observer = Remembering()
    stream = redis_backend.make(capacity=10, observer=observer)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    redis_backend.server.kill()
    events = [started(f"job-{n}") for n in range(25)]
    for event in events:
        stream.publish_nowait(event)
        await asyncio.sleep(0.002)
    redis_backend.server.start()
    await eventually(lambda: stream.statistics().queued == 0, "flushed")
    ids = [json.loads(f[b"event"])["id"] for _, f in redis_backend.entries()]
    assert ids == [event.id for event in events[-10:]]
    assert sum(count for count, _ in observer.drops) == 15
    assert {reason for _, reason in observer.drops} == {"queue_full"}


def _refusals(server: RedisServer) -> int:
    with server.client() as client:
        errors: Any = client.info("errorstats")
    return sum(error["count"] for name, error in errors.items() if "WRONGPASS" in name)


async def test_a_wrong_password_is_reported_without_the_password(server_directory: Path) -> None:
    """The state and one log line say that the password is wrong, and do not repeat it."""
    server = RedisServer(server_directory, password="r1ght-s3cret")  # noqa: S106
    server.start()
    stream = RedisStream(server.url.replace("r1ght-s3cret", "wr0ng-s3cret"))
    subscribe(stream)
    try:
        with structlog.testing.capture_logs() as lines:
            await stream.start()
            stream.publish_nowait(started("a"))
            await eventually(lambda: stream.statistics().error, "an error")
            await eventually(lambda: _refusals(server) > 3, "it tries again and again")
            with pytest.raises(StreamUnavailable, match="password") as raised:
                await stream.read()
            await stream.stop(0.3)
        assert not stream.statistics().connected
        everything = repr(lines) + repr(raised.value) + repr(raised.value.__cause__)
        assert "s3cret" not in everything + repr(stream._clients) + repr(stream)
        unreachable = [line for line in lines if line["event"] == "event stream unreachable"]
        assert len(unreachable) == 1
        assert "password" in unreachable[0]["error"]
        assert unreachable[0]["stream"] == f"redis://127.0.0.1:{server.port}"
    finally:
        await stream.stop(0.1)
        server.stop()


async def test_the_right_password_and_a_unix_socket_work(server_directory: Path) -> None:
    """A stream connects through a socket with a password."""
    server = RedisServer(server_directory, unix=True, password="p@s/s w")  # noqa: S106
    server.start()
    stream = RedisStream(server.url)
    try:
        await stream.start()
        stream.publish_nowait(started("a"))
        await published(stream, 1)
    finally:
        await stream.stop(1)
        server.stop()


@pytest.mark.parametrize("subscribed", [True, False])
async def test_an_outage_is_logged_once_each_way(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch, *, subscribed: bool
) -> None:
    """However many tries fail, one line tells of the loss and one of the return."""
    tries: Counter[str] = Counter()
    failed = RedisHealth.failed

    def count(health: RedisHealth, task: str, error: BaseException) -> None:
        tries[task] += 1
        failed(health, task, error)

    monkeypatch.setattr(RedisHealth, "failed", count)
    stream = redis_backend.make()
    if subscribed:
        subscribe(stream)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    with structlog.testing.capture_logs() as lines:
        redis_backend.server.kill()
        await eventually(lambda: not stream.statistics().connected, "the loss is seen")
        await eventually(lambda: max(tries.values()) > 2, "a task has tried again and again")
        redis_backend.server.start()
        await eventually(lambda: stream.statistics().connected, "connected")
        stream.publish_nowait(started("later"))
        await published(stream, 1)
    told = [line["event"] for line in lines if line["log_level"] != "debug"]
    assert told == ["event stream unreachable", "event stream reachable again"]


async def test_reading_without_a_server_is_unavailable_soon(redis_backend: RedisBackend) -> None:
    """A reader is told within a moment, not after the client library's ten retries."""
    stream = redis_backend.make()
    redis_backend.server.kill()
    with Stopwatch() as watch, pytest.raises(StreamUnavailable):
        await stream.read()
    assert watch.seconds < 5


async def test_a_stream_that_lost_its_data_goes_on(redis_backend: RedisBackend) -> None:
    """After FLUSHALL the group is made anew and misses nothing that comes."""
    stream = redis_backend.make()
    seen = subscribe(stream)
    await stream.start()
    one, two = started("a"), started("b")
    stream.publish_nowait(one)
    await seen.has(1)
    redis_backend.server.command("FLUSHALL")
    stream.publish_nowait(two)
    await seen.has(2)
    assert seen.events == [one, two]


async def test_following_during_an_outage_replays_nothing(redis_backend: RedisBackend) -> None:
    """A reader that begins to follow while Redis is away gets what comes, not what was."""
    stream = redis_backend.make()
    await stream.start()
    past = started("past")
    before = stream.follow()
    stream.publish_nowait(past)
    assert await next_of(before) == past
    redis_backend.server.kill()
    await eventually(lambda: not stream.statistics().connected, "the loss is seen")
    following = stream.follow()
    event = started("now")
    stream.publish_nowait(event)
    redis_backend.server.start()
    assert await next_of(following) == event


async def test_resuming_during_an_outage_is_unavailable(redis_backend: RedisBackend) -> None:
    """A reader that resumes after an event that cannot be looked up is told, and may come back."""
    stream = redis_backend.make()
    await stream.start()
    event = started("a")
    stream.publish_nowait(event)
    await latest_is(stream, event)
    redis_backend.server.kill()
    with pytest.raises(StreamUnavailable):
        await next_of(stream.follow(after=event.id))
