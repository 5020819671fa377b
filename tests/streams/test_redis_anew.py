"""A Redis that comes back empty, with its clock behind: nobody waits for what never comes."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from charter_otel.charter import Event, encode
from charter_otel.service.health import event_stream_check
from charter_otel.streams import EventStream
from streams.backends import RedisBackend, Seen, established, published, started, subscribe
from support.polling import eventually

AHEAD = 30.0
"""Seconds by which the lost stream's clock was ahead of the new one's."""

EVENTS = "{charter}:events"


async def _collect(events: AsyncIterator[Event], into: list[str]) -> None:
    async for event in events:
        into.append(event.id)  # noqa: PERF401 - whoever waits sees each at once


def _add_ahead(backend: RedisBackend, event: Event) -> None:
    """Add an entry as a Redis whose clock is ahead numbers it."""
    entry = f"{(time.time() + AHEAD) * 1000:.0f}-0"
    backend.server.command("XADD", EVENTS, entry, "event", encode(event))


async def _lose_everything(stream: EventStream, backend: RedisBackend) -> list[Event]:
    """Make Redis lose its data, and publish into the new stream."""
    await asyncio.to_thread(backend.server.kill)
    await asyncio.to_thread(backend.server.lose_data)
    events = [started(f"job-{n}") for n in range(22)]
    for event in events:
        stream.publish_nowait(event)
    await asyncio.to_thread(backend.server.start)
    return events


async def test_groups_and_readers_begin_at_the_beginning_of_a_stream_that_began_anew(
    redis_backend: RedisBackend,
) -> None:
    """Every one of 22 events arrives at a group, at who follows, and at who asks for the rest."""
    stream = redis_backend.make()
    seen = subscribe(stream)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    before = established("before")
    _add_ahead(redis_backend, before)
    await seen.has(1)
    followed: list[str] = []
    following = asyncio.create_task(_collect(stream.follow(after=before.id), followed))
    more = started("more")
    stream.publish_nowait(more)
    await eventually(lambda: followed == [more.id], "it is followed")
    events = await _lose_everything(stream, redis_backend)
    ids = [event.id for event in events]
    await eventually(lambda: set(ids) <= set(seen.ids), "the group has them")
    await eventually(lambda: followed[-22:] == ids, "who follows has them")
    assert [e.id for e in await stream.read(limit=100)] == ids
    statistics = stream.statistics()
    assert statistics.restarted == 1
    assert statistics.restarted_at == pytest.approx(time.monotonic(), abs=20)
    status, details = event_stream_check(lambda: stream)()
    assert (status, details["restarted"]) == ("degraded", 1)
    assert "began anew" in details["error"]
    following.cancel()


async def test_a_reader_that_resumes_ahead_of_the_stream_begins_with_it(
    redis_backend: RedisBackend,
) -> None:
    """An id of an instance whose clock was ahead, or of a lost stream, hides nothing."""
    stream = redis_backend.make()
    await stream.start()
    ahead = started("ahead", at_ms=int((time.time() + 3_600) * 1000))
    events = [started("a"), started("b")]
    for event in events:
        stream.publish_nowait(event)
    await published(stream, 2)
    assert list(await stream.read(after=ahead.id)) == events
    idle = redis_backend.make()
    assert list(await idle.read(after=ahead.id)) == events


async def test_a_group_that_was_destroyed_goes_on_where_it_was(
    redis_backend: RedisBackend,
) -> None:
    """The stream is still there, so nothing is delivered again."""
    stream = redis_backend.make()
    seen = subscribe(stream)
    await stream.start()
    for name in "abc":
        stream.publish_nowait(started(name))
    await seen.has(3)
    await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "acknowledged")
    redis_backend.server.command("XGROUP", "DESTROY", EVENTS, "g")
    stream.publish_nowait(started("d"))
    await seen.has(4)
    assert [event.payload["job_id"] for event in seen.events] == [*"abcd"]


@pytest.mark.parametrize("exists", [False, True], ids=["its own", "of another process"])
async def test_a_group_that_was_destroyed_before_a_read_gets_nothing_older(
    redis_backend: RedisBackend, *, exists: bool
) -> None:
    """It goes on where it was when this process made it, or found it."""
    server = redis_backend.server
    server.command("XADD", EVENTS, "*", "event", encode(started("old")))
    if exists:
        server.command("XGROUP", "CREATE", EVENTS, "g", "$")
    stream = redis_backend.make()
    seen = subscribe(stream)
    await stream.start()
    await eventually(lambda: "xreadgroup" in str(server.command("CLIENT", "LIST")), "it reads")
    server.command("XGROUP", "DESTROY", EVENTS, "g")
    stream.publish_nowait(started("new"))
    await seen.has(1)
    assert [event.payload["job_id"] for event in seen.events] == ["new"]


async def test_a_stream_that_was_trimmed_did_not_begin_anew(redis_backend: RedisBackend) -> None:
    """A reader of a trimmed entry goes on after it; nothing comes twice."""
    stream = redis_backend.make()
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    followed: list[str] = []
    following = asyncio.create_task(_collect(stream.follow(), followed))
    await asyncio.sleep(0)
    events = [started(name) for name in "abcd"]
    for event in events[:2]:
        stream.publish_nowait(event)
    await eventually(lambda: len(followed) == 2, "followed")
    redis_backend.server.command("XADD", EVENTS, "*", "event", encode(events[2]))
    redis_backend.server.command("XTRIM", EVENTS, "MAXLEN", 1)
    stream.publish_nowait(events[3])
    await eventually(lambda: events[3].id in followed, "the last one")
    assert followed == [event.id for event in events]
    following.cancel()


async def test_a_new_group_of_the_earliest_begins_at_the_beginning(
    redis_backend: RedisBackend,
) -> None:
    """As the audit log does, after a restart in front of a stream that began anew."""
    stream = redis_backend.make()
    await stream.start()
    events = await _lose_everything(stream, redis_backend)
    await published(stream, 22)
    seen = Seen()
    stream.subscribe("*", group="late", start="earliest")(seen)
    await eventually(lambda: seen.ids == [event.id for event in events], "all are there")
