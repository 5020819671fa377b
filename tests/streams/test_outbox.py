"""The queue in front of the publisher."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.streams.outbox import Outbox
from charter_otel.streams.pending import PendingEvent


def outgoing(name: int, size: int = 10) -> PendingEvent:
    """Return an event on its way."""
    return PendingEvent(f"evt_metrics_{name:013d}_aaaaaa", name, b"x" * size, None)


def _nothing(count: int, reason: str) -> None:
    raise AssertionError(f"{count} events dropped: {reason}")


@given(
    st.integers(1, 8),
    st.lists(st.sampled_from(["put", "take", "done", "give_back"]), max_size=60),
)
def test_every_event_is_published_dropped_or_waiting(capacity: int, steps: list[str]) -> None:
    """No event is lost uncounted and the order stays, whatever happens in whatever order."""
    asyncio.run(_account(capacity, steps))


async def _account(capacity: int, steps: list[str]) -> None:
    drops: list[int] = []
    outbox = Outbox(capacity, drop=lambda count, _: drops.append(count), batch=3)
    put = 0
    published: list[int] = []
    taken: list[PendingEvent] = []
    for step in steps:
        if step == "put":
            outbox.put(outgoing(put))
            put += 1
        elif step == "take" and not taken and len(outbox):
            taken = list(await outbox.take())
            assert 1 <= len(taken) <= 3
        elif step == "done" and taken:
            published += [event.minute for event in taken]
            taken = []
            outbox.done()
        elif step == "give_back" and taken:
            taken = []
            outbox.give_back()
        assert put == sum(drops) + len(published) + len(outbox)
        assert len(outbox) <= capacity + len(taken)
    assert published == sorted(published)


async def test_a_batch_is_bounded_in_bytes() -> None:
    """A batch ends before it grows too big, and holds at least one event."""
    outbox = Outbox(drop=_nothing, batch_bytes=25)
    for name, size in enumerate((10, 10, 10, 100, 10)):
        outbox.put(outgoing(name, size))
    batches = []
    while len(outbox):
        batches.append([event.minute for event in await outbox.take()])
        outbox.done()
    assert batches == [[0, 1], [2], [3], [4]]


async def test_waiting_ends_when_all_is_published() -> None:
    """A stop waits for what is queued and what is in flight."""
    outbox = Outbox(drop=_nothing)
    outbox.put(outgoing(1))
    await outbox.take()
    drained = asyncio.create_task(outbox.drained())
    await asyncio.sleep(0)
    outbox.put(outgoing(2))
    outbox.done()
    await asyncio.sleep(0)
    assert not drained.done()
    await outbox.take()
    outbox.done()
    await asyncio.wait_for(drained, 5)


def test_an_outbox_holds_at_least_one_event() -> None:
    """A capacity that holds nothing is an error."""
    with pytest.raises(ValueError, match="at least one"):
        Outbox(0, drop=_nothing)
