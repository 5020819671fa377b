"""A moment's wait for more events, where more are likely: a batch costs as much as ten events."""

import asyncio
import math
import time

FEW = 10
"""Events that are worth waiting for others; more are a batch already."""


class BatchWait:
    """Waits for more events if the last ones came a moment ago; after a silence it does not.

    Args:
        linger: Seconds of a wait.
    """

    def __init__(self, linger: float) -> None:
        self._linger = linger
        self._last = -math.inf

    async def wait(self, count: int) -> None:
        """Wait if few events came and others came shortly before."""
        now = time.monotonic()
        if count < FEW and now - self._last < 2 * self._linger:
            await asyncio.sleep(self._linger)
        self._last = time.monotonic()
