"""The queue in front of a publisher, with a disk behind it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from charter_otel.aio import spawn
from charter_otel.streams.outbox import BATCH, BATCH_BYTES, Outbox, PendingEvent
from charter_otel.streams.spool.file import Appended
from charter_otel.streams.spool.spool import Spool, SpoolUnavailable
from charter_otel.streams.types import DropReason

log = structlog.get_logger(__name__)

TICK = 0.02
"""Seconds between two looks at what waits. What waits for longer than one is brought to disk."""

OVERSHOOT = 5
"""How many times its capacity the queue may hold until the disk has taken what is too much."""

ADOPT_EVERY = 60.0
"""Seconds between two looks for what dead instances left."""

OPEN_WITHIN = 5.0
"""Seconds for which a start waits for what earlier processes left, which is published first."""

CLOSE_WITHIN = 0.5
"""Seconds that closing may take at least, however late it is."""


class SpooledOutbox(Outbox):
    """Events waiting to be published: the oldest on disk, the newest in memory, in order.

    What the stream takes at once never touches the disk. What waits for more than two ticks goes
    there, a batch in the publisher's hand included, and from then on everything does until the
    publisher has emptied the disk. So whatever ends the process loses what came in the last ticks.

    Args:
        spool: The disk.
        capacity: Events in memory beyond which the disk is used at once.
        drop: Told how many events were given up, and why.
        batch: Events that a batch holds at most.
        batch_bytes: Size of a batch beyond which no event is added to it.
    """

    def __init__(
        self,
        spool: Spool,
        capacity: int = 10_000,
        *,
        drop: Callable[[int, DropReason], object],
        batch: int = BATCH,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        super().__init__(capacity, batch=batch, batch_bytes=batch_bytes)
        self._spool = spool
        self._drop = drop
        self._moving: list[PendingEvent] = []
        self._copying = False
        self._upto: int | None = None
        self._put = 0
        self._lock = asyncio.Lock()
        self._active, self._pressed = asyncio.Event(), asyncio.Event()
        self._closing = False
        self._adopt_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Events that wait in memory."""
        in_hand = len(self._taken) if self._upto is None else 0
        return len(self._waiting) + len(self._moving) + in_hand

    def __len__(self) -> int:
        return self.queued + self.spooled

    @property
    def _limit(self) -> int:
        return self.capacity * OVERSHOOT if self._spool.works else self.capacity

    async def open(self) -> None:
        """Open the disk, and look after what waits from now on."""
        self._closing = False
        self._adopt_at = time.monotonic() + ADOPT_EVERY
        self._pressed.clear()
        # What this object left there at its last stop is no find.
        left, self.spooled = self.spooled, 0
        self.recovered -= left
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                await self._spool.open()
        except TimeoutError:
            log.warning("spool takes long to open; publishing begins without what is in it")
        self._welcome()
        self._task = spawn(self._run(), "charter spool")

    async def close(self, until: float) -> None:
        """Bring everything to disk, by ``until`` (monotonic seconds), and close it."""
        if self._task is None:
            return
        self._closing = True
        self._active.set()
        self._pressed.set()
        timeout = max(CLOSE_WITHIN, until - time.monotonic())
        await asyncio.wait({self._task}, timeout=timeout)
        # Only a disk that hangs is cancelled; its thread goes on, and nobody waits for it.
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None

    def put(self, event: PendingEvent) -> int:
        """Add the newest event, and give the number of those dropped for it."""
        self._put += 1
        self._active.set()
        if len(self._waiting) >= self.capacity:
            self._pressed.set()
        return super().put(event)

    async def take(self) -> Sequence[PendingEvent]:
        """Wait for events and give the oldest ones, from the disk first."""
        while True:
            async with self._lock:
                if self.spooled:
                    await self._read()
                elif self._waiting:
                    self._take()
                if self._taken:
                    return self._taken
            if not len(self):
                self._filled.clear()
                await self._filled.wait()

    def done(self) -> None:
        """Forget the batch: the stream has it."""
        if self._upto is not None:
            self.spooled -= len(self._taken)
            self.replayed += len(self._taken)
            self._spool.forget(self._upto)
            self._upto = None
        super().done()

    def give_back(self) -> int:
        """Put the batch back in front, and give the number of events dropped for it."""
        self._active.set()
        if not self._taken or (self._upto is None and not self._copying):
            return super().give_back()
        if self._upto is None:
            # It is on its way to the disk, and now belongs to what is brought there.
            self._moving = [*self._taken, *self._moving]
            self._copying = False
        self._taken, self._upto = (), None
        self._filled.set()
        return 0

    def clear(self) -> int:
        """Give up what is in memory, and say how much that was; the disk keeps what it has."""
        count = self.queued
        self._waiting.clear()
        self._moving.clear()
        self._taken, self._upto = (), None
        return count

    async def spill(self) -> None:
        """Bring everything to disk that is in memory, the batch in the publisher's hand too."""
        async with self._lock:
            if await self._spool.open():
                self._welcome()
                await self._move()
            self._filled.set()
            self._note_empty()

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._look()
            except Exception:
                await asyncio.sleep(TICK)
                # Even the line may fail, when it goes to the same full disk.
                with suppress(Exception):
                    log.exception("spool failed, and is tried again")
        await self.spill()
        await self._spool.close()

    async def _look(self) -> None:
        if await self._idle():
            return
        mark = self._put
        await _within(TICK, self._pressed)
        # Also where the disk may not be tried yet: what is set would not make the next look wait.
        self._pressed.clear()
        if self._spool.may_try and self._is_late(mark):
            await self.spill()

    async def _idle(self) -> bool:
        """Wait for events in memory; True where there still are none, for a long time."""
        if self.queued:
            return False
        if time.monotonic() >= self._adopt_at:
            await self._adopt()
        self._active.clear()
        await _within(ADOPT_EVERY, self._active)
        return not self.queued

    def _is_late(self, mark: int) -> bool:
        """Return whether an event still waits of the first ``mark``, or the disk is in use."""
        gone = self._put - self.queued
        return gone < mark or self.spooled > 0 or len(self._waiting) > self.capacity

    async def _move(self) -> None:
        # A batch in hand is the oldest there is, or else something was found meanwhile.
        batch = () if self._upto is not None or self.spooled else self._taken
        self._moving = list(self._waiting)
        self._waiting.clear()
        if not batch and not self._moving:
            return
        self._copying = bool(batch)
        try:
            appended = await self._spool.append([*batch, *self._moving], len(batch))
        except SpoolUnavailable as unavailable:
            self._restore(lost=unavailable.lost)
        except BaseException:
            self._restore(lost=False)
            raise
        else:
            self._settle(batch, appended)

    def _settle(self, batch: Sequence[PendingEvent], appended: Appended) -> None:
        self.spooled += len(self._moving)
        self._moving = []
        if batch and self._taken is batch:
            self._upto = appended.last_taken
            self.spooled += len(batch)
        elif self._copying:
            self._spool.forget(appended.last_taken)
        self._copying = False
        self._give_up(appended.evicted, "spool_full")

    def _restore(self, *, lost: bool) -> None:
        self._copying = False
        self._waiting.extendleft(reversed(self._moving))
        self._moving = []
        if lost:
            self._lose()
        if dropped := self._overflow():
            self._drop(dropped, "queue_full")

    async def _read(self) -> None:
        try:
            page = await self._spool.read(self._batch, self._batch_bytes)
        except SpoolUnavailable:
            self._lose()
            return
        self._give_up(page.damaged, "spool_damaged")
        if page.events:
            self._taken, self._upto = page.events, page.last
        elif page.damaged:
            self._spool.forget(page.last)
        else:
            self._lose()

    async def _adopt(self) -> None:
        self._adopt_at = time.monotonic() + ADOPT_EVERY
        async with self._lock:
            await self._spool.adopt()
            self._welcome()

    def _welcome(self) -> None:
        """Take what was found on disk into the account."""
        found, lost = self._spool.collect()
        self.spooled += found
        self.recovered += found
        self._give_up(lost, "spool_full")
        if found:
            self._filled.set()

    def _lose(self) -> None:
        """Take what was on a damaged disk out of the account; a batch in hand is still there."""
        in_hand = 0 if self._upto is None else len(self._taken)
        self._upto = None
        self.spooled -= in_hand
        self._give_up(self.spooled, "spool_damaged")

    def _give_up(self, count: int, reason: DropReason) -> None:
        if count:
            self.spooled -= count
            self._drop(count, reason)
            self._note_empty()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event to be set, for some seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
