"""Waiting for company: only where it is likely, and never for long."""

import asyncio
import time

from charter_otel.streams.company import Company


async def _waited(company: Company, count: int) -> bool:
    """Return whether it waits at all."""
    waiting = company.wait(count)
    try:
        waiting.send(None)
    except StopIteration:
        return False
    waiting.close()
    return True


async def test_it_waits_only_for_few_that_come_soon_after_others() -> None:
    """The first event goes at once, the next one waits; a batch and a late one do not."""
    company = Company(0.05)
    assert not await _waited(company, 1)
    assert await _waited(company, 1)
    assert not await _waited(company, 10)
    await asyncio.sleep(0.2)
    assert not await _waited(company, 1)


async def test_a_wait_takes_as_long_as_said() -> None:
    """Nothing is held up beyond the wait that was asked for."""
    company = Company(0.05)
    await company.wait(1)
    begun = time.monotonic()
    await company.wait(1)
    assert time.monotonic() - begun >= 0.05
