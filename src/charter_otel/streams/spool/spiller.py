"""When what waits in memory is brought to disk."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from charter_otel.aio import spawn

log = structlog.get_logger(__name__)

TICK = 0.02
"""Seconds between two looks at what waits. What waits for longer than one is brought to disk."""

ADOPT_EVERY = 60.0
"""Seconds between two looks for what dead instances left."""

CLOSE_WITHIN = 0.5
"""Seconds that closing may take at least, however late it is."""

Late = Callable[[], bool]
"""Tells whether an event still waits that waited before."""


class Spiller:
    """The task that spills: idle while nothing waits, and looks every tick while something does.

    Args:
        watch: Begins to watch what waits now; returns None where nothing does.
        spill: Brings everything in memory to disk.
        adopt: Looks for what dead instances left.
        end: Spills for the last time, and closes the disk.
    """

    def __init__(
        self,
        *,
        watch: Callable[[], Late | None],
        spill: Callable[[], Awaitable[None]],
        adopt: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._watch = watch
        self._spill = spill
        self._adopt = adopt
        self._end = end
        self._active, self._urgent = asyncio.Event(), asyncio.Event()
        """Set when something waits, and when more waits than memory should hold."""
        self._closing = False
        self._adopt_at = 0.0
        """Monotonic seconds; when to look again for what dead instances left."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look after what waits."""
        self._closing = False
        self._adopt_at = time.monotonic() + ADOPT_EVERY
        self._urgent.clear()
        self._task = spawn(self._run(), "charter spool")

    def notice(self, *, urgent: bool = False) -> None:
        """Notice that something waits; ``urgent`` does not wait for the tick to end."""
        self._active.set()
        if urgent:
            self._urgent.set()

    async def stop(self, until: float) -> None:
        """Spill for the last time, by ``until`` (monotonic seconds)."""
        if self._task is None:
            return
        self._closing = True
        self.notice(urgent=True)
        timeout = max(CLOSE_WITHIN, until - time.monotonic())
        await asyncio.wait({self._task}, timeout=timeout)
        # Only a disk that hangs is cancelled; its thread goes on, and nobody waits for it.
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._look()
            except Exception:
                await asyncio.sleep(TICK)
                # Even the line may fail, when it goes to the same full disk.
                with suppress(Exception):
                    log.exception("spool failed, and is tried again")
        await self._end()

    async def _look(self) -> None:
        late = self._watch() or await self._idle()
        if late is None:
            return
        await _within(TICK, self._urgent)
        # Also where the disk may not be tried yet: what is set would not make the next look wait.
        self._urgent.clear()
        if late():
            await self._spill()

    async def _idle(self) -> Late | None:
        """Wait until something waits; return None where nothing does for a long time."""
        # First, so that what comes while dead instances are looked for is not overlooked.
        self._active.clear()
        if time.monotonic() >= self._adopt_at:
            self._adopt_at = time.monotonic() + ADOPT_EVERY
            await self._adopt()
        await _within(ADOPT_EVERY, self._active)
        return self._watch()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event to be set, for some seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
