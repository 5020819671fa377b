"""The tail of a Redis stream: it reads while somebody follows, and rests otherwise."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import pytest

from charter_otel.charter import Event
from charter_otel.redis import commands
from charter_otel.streams import RedisStream
from charter_otel.streams.redis import tail
from streams.backends import RedisBackend, published, started
from support.polling import eventually


@pytest.fixture
async def stream(redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch) -> RedisStream:
    """Return a stream that has published one event, and whose tail rests."""
    monkeypatch.setattr(tail, "UNFOLLOWED", 0.0)
    monkeypatch.setattr(tail, "LOOK_EVERY", 0.1)
    made = redis_backend.make()
    assert isinstance(made, RedisStream)
    await made.start()
    made.publish_nowait(started("before"))
    await published(made, 1)
    await rests(made)
    await eventually(lambda: made._tail._last != b"0-0", "it has looked at the event")
    return made


async def test_a_stream_that_nobody_follows_is_not_read(
    stream: RedisStream, redis_backend: RedisBackend
) -> None:
    """Its events stay in Redis, from where `read` gets them."""
    reads = redis_backend.calls("xread")
    stream.publish_nowait(started("a"))
    await published(stream, 2)
    looks = redis_backend.calls("xrevrange")
    await eventually(lambda: redis_backend.calls("xrevrange") >= looks + 3, "it looks three times")
    assert redis_backend.calls("xread") == reads
    assert [event.payload["job_id"] for event in await stream.read()] == ["before", "a"]


async def test_a_follower_begins_with_the_next_event(stream: RedisStream) -> None:
    """It misses nothing between its call and its first wait, and gets nothing from before."""
    following = stream.follow()
    event = started("a")
    stream.publish_nowait(event)
    await published(stream, 2)
    assert await first(following) == event


async def test_a_follower_after_an_event_gets_all_that_follow(stream: RedisStream) -> None:
    """Those that were published while the tail rested, and those that come."""
    before = (await stream.read())[0]
    events = [started(name) for name in "abc"]
    for event in events[:2]:
        stream.publish_nowait(event)
    await published(stream, 3)
    following = stream.follow(after=before.id)
    assert [await first(following) for _ in "ab"] == events[:2]
    stream.publish_nowait(events[2])
    assert await first(following) == events[2]


async def test_the_tail_rests_once_its_last_follower_is_gone(
    stream: RedisStream, redis_backend: RedisBackend
) -> None:
    """The next one begins with the next event again."""
    following = cast("AsyncGenerator[Event, None]", stream.follow())
    stream.publish_nowait(started("a"))
    await first(following)
    reads = redis_backend.calls("xread")
    await eventually(lambda: redis_backend.calls("xread") > reads, "it reads on")
    await following.aclose()
    del following
    await rests(stream)
    following = cast("AsyncGenerator[Event, None]", stream.follow())
    event = started("b")
    stream.publish_nowait(event)
    assert await first(following) == event


async def test_a_stream_that_begins_anew_is_noticed_while_nobody_follows(
    stream: RedisStream, redis_backend: RedisBackend
) -> None:
    """The statistics tell it, and a follower gets the new stream's events."""
    redis_backend.server.command("FLUSHALL")
    await eventually(lambda: stream.statistics().restarted == 1, "it is noticed")
    following = stream.follow()
    event = started("a")
    stream.publish_nowait(event)
    assert await first(following) == event


async def test_the_tail_reads_on_where_redis_does_not_count_what_a_group_has_not_read(
    stream: RedisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Redis before 7, and later ones after a deletion: the history counts."""
    # Longer than until the lag is asked for again, as it is in the service.
    monkeypatch.setattr(tail, "UNFOLLOWED", 5.0)
    stream.subscribe("*", group="slow")(handle)
    groups = commands.groups

    async def old(*arguments: Any) -> list[dict[str, Any]]:
        found = await groups(*arguments)
        return [group | {"lag": None, "last-delivered-id": b"0-1"} for group in found]

    monkeypatch.setattr(commands, "groups", old)
    await eventually(lambda: stream.statistics().subscribers[0].lag == 1, "it is counted")
    stream.publish_nowait(started("a"))
    await eventually(lambda: stream.statistics().subscribers[0].lag == 2, "it is counted")


async def handle(event: Event) -> None:
    """Do nothing."""


async def first(events: AsyncIterator[Event]) -> Event:
    """Return the next event, or fail in time."""
    return await asyncio.wait_for(anext(events), 10)


async def rests(stream: RedisStream) -> None:
    """Wait until the tail rests."""
    await eventually(lambda: stream._tail._paused, "the tail rests")
