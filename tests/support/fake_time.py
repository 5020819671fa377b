"""Clocks that a test moves, and tasks that sleep by them."""

import asyncio

EPOCH = 1_703_001_240.0
"""A time, in Unix seconds, at which a minute begins."""


async def settle() -> None:
    """Let all tasks come to where they wait for something."""
    for _ in range(20):
        await asyncio.sleep(0)


class FakeTime:
    """A wall clock and a monotonic one, which stand still until the test moves them."""

    def __init__(self, wall: float = EPOCH) -> None:
        self.wall = wall
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def clock(self) -> float:
        """Return Unix seconds."""
        return self.wall

    async def sleep(self, seconds: float) -> None:
        """Sleep by the monotonic clock."""
        woken = asyncio.Event()
        self._sleepers.append((self._monotonic + seconds, woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Move both clocks on, and let everybody who has slept enough go on."""
        self.wall += seconds
        self._monotonic += seconds
        for due, woken in self._sleepers:
            if due <= self._monotonic + 1e-6:
                woken.set()
        self._sleepers = [s for s in self._sleepers if not s[1].is_set()]
        await settle()


class StoppedClock:
    """A monotonic clock that stands still until the test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now
