"""Waiting for batch_wait: only where it is likely, and never for long."""

import asyncio
import time

from charter_otel.streams.batch_wait import BatchWait


async def _waited(batch_wait: BatchWait, count: int) -> bool:
    """Return whether it waits at all."""
    waiting = batch_wait.wait(count)
    try:
        waiting.send(None)
    except StopIteration:
        return False
    waiting.close()
    return True


async def test_it_waits_only_for_few_that_come_soon_after_others() -> None:
    """The first event goes at once, the next one waits; a batch and a late one do not."""
    batch_wait = BatchWait(0.05)
    assert not await _waited(batch_wait, 1)
    assert await _waited(batch_wait, 1)
    assert not await _waited(batch_wait, 10)
    await asyncio.sleep(0.2)
    assert not await _waited(batch_wait, 1)


async def test_a_wait_takes_as_long_as_said() -> None:
    """Nothing is held up beyond the wait that was asked for."""
    batch_wait = BatchWait(0.05)
    await batch_wait.wait(1)
    begun = time.monotonic()
    await batch_wait.wait(1)
    assert time.monotonic() - begun >= 0.05
