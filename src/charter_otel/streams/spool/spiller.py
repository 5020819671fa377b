"""The task that decides when events in memory are brought to disk."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from charter_otel.aio import spawn

log = structlog.get_logger(__name__)

TICK = 0.02
"""Seconds between two ticks. Events that wait at two ticks in a row are brought to disk."""

ADOPT_EVERY = 60.0
"""Seconds between two looks for events of dead instances."""

CLOSE_WITHIN = 0.5
"""Minimum seconds that closing may take, however late it is."""

Late = Callable[[], bool]
"""Returns whether an event that waited before still waits."""


class Spiller:
    """The task that spills: idle while no event waits, otherwise it looks at every tick.

    Args:
        watch: Begins to watch the events that wait now; returns None if none does.
        spill: Brings everything in memory to disk.
        adopt: Looks for events of dead instances.
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
        """Set when an event waits, and when more wait than memory should hold."""
        self._closing = False
        """Whether the task is to spill for the last time and end."""
        self._adopt_at = 0.0
        """Monotonic seconds; when to look again for events of dead instances."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the waiting events."""
        self._closing = False
        self._adopt_at = time.monotonic() + ADOPT_EVERY
        self._urgent.clear()
        self._task = spawn(self._run(), "charter spool")

    def notice(self, *, urgent: bool = False) -> None:
        """Note that an event waits; ``urgent`` does not wait for the tick to end."""
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
        # It is cancelled only if the disk hangs; its thread goes on, and nothing waits for it.
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._look()
            except Exception:
                await asyncio.sleep(TICK)
                # Even the log line may fail, if it goes to the same full disk.
                with suppress(Exception):
                    log.exception("spool failed, and is tried again")
        await self._end()

    async def _look(self) -> None:
        late = self._watch() or await self._idle()
        if late is None:
            return
        await _within(TICK, self._urgent)
        # Clear it even if the disk may not be tried yet, or the next wait would return at once.
        self._urgent.clear()
        if late():
            await self._spill()

    async def _idle(self) -> Late | None:
        """Wait until an event waits; return None if none does for a long time."""
        # First, so that an event that comes during the look for dead instances is noticed.
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
