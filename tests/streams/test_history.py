"""The ring of the latest events, and those who follow it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.charter import Event, decode, encode
from charter_otel.streams.history import History
from streams.backends import established, next_of, started

EVENTS = [started(f"job-{n}") for n in range(40)]
ALL: frozenset[str] = frozenset()


def filled(count: int, capacity: int) -> History:
    """Return a history to which that many events were appended."""
    history = History(capacity)
    for event in EVENTS[:count]:
        history.append(event)
    return history


@given(st.integers(0, 40), st.integers(1, 50), st.integers(1, 50))
def test_recent_gives_the_latest_in_order(count: int, capacity: int, limit: int) -> None:
    """For any fill, capacity and limit it is the tail of what was appended."""
    kept = EVENTS[:count][-capacity:]
    assert filled(count, capacity).recent(ALL, limit) == kept[-limit:]


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 45), st.integers(1, 50))
def test_after_gives_what_follows_in_order(
    count: int, capacity: int, position: int, limit: int
) -> None:
    """For any position it is what was appended from there on and is still held."""
    history = filled(count, capacity)
    begin = max(position, count - capacity, 0)
    assert history.after(position, ALL, limit) == EVENTS[begin:count][:limit]


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 45))
def test_seek_never_skips_an_event(count: int, capacity: int, mark: int) -> None:
    """The position after a mark is exact, or None where an event in between is gone."""
    history = filled(count, capacity)
    position = history.seek((mark, 0))
    if mark < count - capacity:
        assert position is None
    else:
        assert position == min(mark, count)


def test_an_id_is_known_while_its_event_is_held() -> None:
    """The index forgets with the ring."""
    history = filled(5, 3)
    assert [event.id in history for event in EVENTS[:5]] == [False, False, True, True, True]
    assert history.mark_of(EVENTS[1].id) is None
    assert history.mark_of(EVENTS[4].id) == (5, 0)
    assert len(history._positions) == 3


def test_types_filter() -> None:
    """Only events of the wanted types are given, wherever they are asked for."""
    history = filled(3, 10)
    robot = established("r1")
    history.append(robot)
    types = frozenset({"telemetry.connection_established"})
    assert history.recent(types, 1) == [robot]
    assert history.after(0, types, 5) == [robot]


def test_a_raw_entry_is_decoded_once_at_its_first_read() -> None:
    """An entry that nobody asks for costs no decoding, and one that is not an event is left out."""
    decoded: list[bytes] = []

    def decode_entry(fields: object) -> Event | None:
        data = fields[b"event"]  # type: ignore[index]
        decoded.append(data)
        return decode(data) if data else None

    history = History(10, decode_entry)
    history.append({b"event": encode(EVENTS[0])}, (1, 0))
    history.append({b"event": b""}, (2, 0))
    assert not decoded
    assert history.recent(ALL, 5) == [EVENTS[0]]
    assert history.after(0, ALL, 5) == [EVENTS[0]]
    assert len(decoded) == 2


async def test_a_lapped_follower_is_moved_on_and_its_loss_is_logged() -> None:
    """A follower that the ring overtakes holds no memory; what it missed is counted and logged."""
    history = History(3)
    following = history.follow(0)
    history.append(EVENTS[0])
    assert await next_of(following) == EVENTS[0]
    for event in EVENTS[1:8]:
        history.append(event)
    with structlog.testing.capture_logs() as lines:
        assert [await next_of(following) for _ in range(3)] == EVENTS[5:8]
    assert history.missed == 4
    assert [(line["event"], line["missed"]) for line in lines] == [
        ("follower too slow, events skipped", 4)
    ]


async def test_many_followers_are_woken_and_each_keeps_its_own_pace() -> None:
    """One follower's reading takes nothing from another."""
    history = History(10)
    followers = [history.follow(0) for _ in range(5)]
    waiting = [asyncio.ensure_future(next_of(follower)) for follower in followers]
    await asyncio.sleep(0)
    history.append(EVENTS[0])
    history.append(EVENTS[1])
    assert await asyncio.gather(*waiting) == [EVENTS[0]] * 5
    assert await next_of(followers[0]) == EVENTS[1]
    assert await next_of(followers[4]) == EVENTS[1]


async def test_closing_ends_followers_after_the_last_event() -> None:
    """Events that were appended before the end are still read."""
    history = History(10)
    history.append(EVENTS[0])

    async def collect(events: AsyncIterator[Event]) -> list[Event]:
        return [event async for event in events]

    collecting = asyncio.create_task(collect(history.follow(0)))
    await asyncio.sleep(0)
    history.append(EVENTS[1])
    history.close()
    assert await asyncio.wait_for(collecting, 5) == EVENTS[:2]
    assert history.closed
    history.open()
    assert not history.closed


async def test_a_cancelled_follower_disturbs_nobody() -> None:
    """A client that goes away does not end the others' waiting."""
    history = History(10)
    leaving, staying = (asyncio.ensure_future(next_of(history.follow(0))) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    history.append(EVENTS[0])
    assert await staying == EVENTS[0]


def test_a_history_holds_at_least_one_event() -> None:
    """A capacity that holds nothing is an error."""
    with pytest.raises(ValueError, match="at least one"):
        History(0)


async def test_a_history_that_starts_over_keeps_its_followers() -> None:
    """A reader that has caught up goes on with the new stream's first event, whatever its place."""
    history = History(3)
    for name in "abcd":
        history.append(started(name), (100 + ord(name), 0))
    followed = history.follow(history.end)
    history.restart()
    assert history.seek((150, 0)) == history.end
    new = [started(name) for name in "efgh"]
    for number, event in enumerate(new):
        history.append(event, (number + 1, 0))
        assert await anext(followed) == event
    assert history.missed == 0
    assert history.recent(frozenset(), 10) == new[-3:]
    assert history.find(new[1].id) == (2, 0)
    assert history.find(new[0].id) is None
