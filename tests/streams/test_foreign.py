"""Foreign streams: a ``publish`` that does not end as it should is a failure that says why."""

import asyncio

import pytest

from charter_otel.charter import Event
from charter_otel.streams import foreign
from streams.backends import started


class Foreign:
    """A stream whose ``publish`` waits, or cancels its own task."""

    def __init__(self, *, cancels: bool) -> None:
        self.cancels = cancels
        self.cancelled = False

    async def publish(self, _: Event) -> None:
        """Do not publish the event."""
        task = asyncio.current_task()
        if self.cancels and task is not None:
            task.cancel()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_a_publish_that_cancels_itself_has_failed() -> None:
    """It is not taken for one that was published."""
    with pytest.raises(RuntimeError, match="cancelled itself"):
        await foreign.publish(Foreign(cancels=True), started("a"))


async def test_a_publish_is_cancelled_after_a_quarter_of_a_second() -> None:
    """And is not left to run on, unless it resists."""
    stream, loop = Foreign(cancels=False), asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(TimeoutError, match=r"longer than 0\.25 s"):
        await foreign.publish(stream, started("a"))
    assert loop.time() - before >= 0.25
    await asyncio.sleep(0)
    assert stream.cancelled
