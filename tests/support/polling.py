"""Waiting for something to become true, with a deadline."""

import asyncio
import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], what: str, within: float = 20.0, *, every: float = 0.01
) -> None:
    """Wait, blocking the thread.

    Raises:
        AssertionError: The condition did not become true in time.
    """
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"after {within} s still not: {what}"
        time.sleep(every)


async def eventually(condition: Callable[[], object], what: str, within: float = 20.0) -> None:
    """Wait, letting the event loop run.

    Raises:
        AssertionError: The condition did not become true in time.
    """
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"after {within} s still not: {what}"
        await asyncio.sleep(0.01)
