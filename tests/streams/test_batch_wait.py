"""Waiting for batch_wait: only where it is likely, and never for long."""

import time

import pytest

from charter_otel.streams import batch_wait
from charter_otel.streams.batch_wait import BatchWait
from support.fake_time import StoppedClock


async def _waited(made: BatchWait, count: int) -> bool:
    """Return whether it waits at all."""
    waiting = made.wait(count)
    try:
        waiting.send(None)
    except StopIteration:
        return False
    waiting.close()
    return True


async def test_it_waits_only_for_few_that_come_soon_after_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first event goes at once, the next one waits; a batch and a late one do not."""
    clock = StoppedClock()
    monkeypatch.setattr(batch_wait, "time", clock)
    made = BatchWait(0.05)
    assert not await _waited(made, 1)
    clock.now += 0.099
    assert await _waited(made, 1)
    assert not await _waited(made, 10)
    clock.now += 0.1
    assert not await _waited(made, 1)


async def test_a_wait_takes_as_long_as_said() -> None:
    """Nothing is held up beyond the wait that was asked for."""
    made = BatchWait(0.05)
    await made.wait(1)
    begun = time.monotonic()
    await made.wait(1)
    assert time.monotonic() - begun >= 0.05
