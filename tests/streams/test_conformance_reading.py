"""The contract of event streams with readers and followers; each test runs on each backend."""

import asyncio
from contextlib import aclosing

import pytest

from charter_otel.charter import Event
from streams.backends import (
    Backend,
    established,
    failed,
    latest_is,
    next_of,
    read_all,
    started,
)
from support.polling import eventually

pytestmark = pytest.mark.timeout(20)


async def test_reading_gives_the_latest_events_oldest_first(backend: Backend) -> None:
    """The limit keeps the newest; types filter."""
    stream = backend.make()
    await stream.start()
    events = [started("a"), established("r1"), started("b"), established("r2")]
    for event in events:
        stream.publish_nowait(event)
    await read_all(stream, 4)
    assert list(await stream.read()) == events
    assert list(await stream.read(limit=2)) == events[2:]
    robots = frozenset({"telemetry.connection_established"})
    assert list(await stream.read(types=robots)) == [events[1], events[3]]


@pytest.mark.parametrize("history", [3, 1000], ids=["older than the ring", "in the ring"])
async def test_reading_resumes_after_an_event(backend: Backend, history: int) -> None:
    """Reading after an event gives the ones that follow, page by page, without gap or repeat."""
    stream = backend.make(history=history)
    await stream.start()
    events = [started(f"job-{n}") for n in range(10)]
    for event in events:
        stream.publish_nowait(event)
    await eventually(lambda: stream.statistics().published == 10, "published")
    await latest_is(stream, events[-1])
    held = events if history > 3 or backend.name == "redis" else events[-3:]
    page = list(await stream.read(after=held[0].id, limit=2))
    assert page == held[1:3]
    rest = list(await stream.read(after=page[-1].id))
    assert rest == held[3:]
    assert not await stream.read(after=events[-1].id)


async def test_an_unknown_event_id_stands_for_its_time(backend: Backend) -> None:
    """After an id that nobody knows, everything made since then comes: rather twice than never."""
    stream = backend.make()
    await stream.start()
    event = started("a")
    stream.publish_nowait(event)
    await latest_is(stream, event)
    older = f"evt_metrics_{int(event.id.split('_')[2]) - 5:013d}_abcdef"
    assert list(await stream.read(after=older)) == [event]
    of_an_earlier_stream = f"evt_metrics_{int(event.id.split('_')[2]) + 60_000:013d}_abcdef"
    assert list(await stream.read(after=of_an_earlier_stream)) == [event]


@pytest.mark.parametrize("after", ["", "x", "evt_metrics_12_abcdef", "évt_metrics", "\0"])
async def test_a_wrong_event_id_is_an_error(backend: Backend, after: str) -> None:
    """A text that is not an event id is refused, not taken for the beginning."""
    stream = backend.make()
    with pytest.raises(ValueError, match="not an event id"):
        await stream.read(after=after)
    with pytest.raises(ValueError, match="not an event id"):
        stream.follow(after=after)


async def test_following_gives_what_comes_from_now_on(backend: Backend) -> None:
    """A follower gets events published after it began, of its types."""
    stream = backend.make()
    await stream.start()
    past = started("past")
    stream.publish_nowait(past)
    await latest_is(stream, past)
    async with aclosing(stream.follow(types=frozenset({"metrics.aggregation_failed"}))) as events:  # type: ignore[type-var]
        one, two = failed("a"), failed("b")
        for event in (started("x"), one, started("y"), two):
            stream.publish_nowait(event)
        assert await next_of(events) == one
        assert await next_of(events) == two


async def test_following_at_once_after_the_start_misses_nothing(backend: Backend) -> None:
    """Events published here after `follow` arrive, although the stream had just started."""
    stream = backend.make()
    await stream.start()
    events = stream.follow()
    event = started("a")
    stream.publish_nowait(event)
    assert await next_of(events) == event


@pytest.mark.parametrize("history", [5, 1000], ids=["older than the ring", "in the ring"])
async def test_following_resumes_after_an_event(backend: Backend, history: int) -> None:
    """A reader that comes back with its last id gets everything since, then what comes."""
    stream = backend.make(history=history)
    await stream.start()
    events = [started(f"job-{n}") for n in range(20)]
    for event in events:
        stream.publish_nowait(event)
    await latest_is(stream, events[-1])
    resumed = events if history > 5 or backend.name == "redis" else events[-5:]
    following = stream.follow(after=resumed[0].id)
    assert [await next_of(following) for _ in resumed[1:]] == resumed[1:]
    new = started("new")
    stream.publish_nowait(new)
    assert await next_of(following) == new


async def test_followers_end_when_the_stream_stops(backend: Backend) -> None:
    """An open server-sent event stream does not hold up a shutdown."""
    stream = backend.make()
    await stream.start()

    events, came = stream.follow(), list[Event]()

    async def follow() -> None:
        async for event in events:
            came.append(event)

    following = asyncio.create_task(follow())
    event = started("a")
    stream.publish_nowait(event)
    await eventually(lambda: came == [event], "followed")
    await stream.stop(1)
    await asyncio.wait_for(following, 5)
    assert came == [event]


async def test_a_follower_before_the_start_ends_with_the_stop(backend: Backend) -> None:
    """Following a stream that is stopped before it ever ran ends too."""
    stream = backend.make()
    following = asyncio.ensure_future(anext(stream.follow(), None))
    await stream.start()
    await stream.stop(0.5)
    assert await asyncio.wait_for(following, 5) is None
