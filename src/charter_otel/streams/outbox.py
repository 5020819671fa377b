"""The bounded queue in front of a publisher, with an optional disk behind it."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from charter_otel.streams import pending
from charter_otel.streams.pending import OVERSHOOT, Counts, Drop, PendingEvent, PendingQueue
from charter_otel.streams.spool.batch import BatchState, HeldBatch
from charter_otel.streams.spool.file import Appended
from charter_otel.streams.spool.spiller import Spiller
from charter_otel.streams.spool.spool import Spool, SpoolUnavailable
from charter_otel.streams.types import DropReason

log = structlog.get_logger(__name__)

READ_AGAIN = 0.2
"""Seconds after which a failed disk is read again; newer events wait in order."""

OPEN_WITHIN = 5.0
"""Seconds for which a start waits for events of earlier processes; they are published first."""


class Outbox:
    """Events waiting to be published, in order: the oldest on disk, the newest in memory.

    One publisher takes a batch, and then either reports it as `done` or gives it back; a batch
    in hand is safe from the overflow until it is back. Without a disk everything is in memory.

    With one, events that the stream takes at once never touch it. Events that wait at two ticks
    in a row are spilled, including a batch in the publisher's hand. From then on every event is
    spilled until the publisher has emptied the disk. So a crash loses the events of the last ticks.
    `charter_otel.streams.spool.batch` shows where the batch in hand lies.

    Args:
        capacity: Events that memory should hold; beyond it the disk is used at once, and the
            oldest event is dropped if the disk does not take it.
        drop: Called with the number of events that were given up, and the reason.
        spool: The disk.
        batch: Events that a batch holds at most.
        batch_bytes: Size of a batch beyond which no event is added to it.
    """

    def __init__(
        self,
        capacity: int = 10_000,
        *,
        drop: Drop,
        spool: Spool | None = None,
        batch: int = pending.BATCH,
        batch_bytes: int = pending.BATCH_BYTES,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"the publishing queue holds at least one event, not {capacity}")
        self.capacity = capacity
        self.spooled = self.recovered = self.replayed = 0
        self._spool = spool
        self._drop = drop
        self._waiting = PendingQueue(batch, batch_bytes)
        """Events in memory that neither a batch nor a spill has taken."""
        self._moving: list[PendingEvent] = []
        """Events that a spill is writing; they stay in memory until the disk has them."""
        self._batch: HeldBatch | None = None
        """The batch in the publisher's hand."""
        self._put = 0
        """Events that were ever put; `_watch` derives from it whether the oldest still waits."""
        self._lock = asyncio.Lock()
        """Held while reading from the disk or writing to it, to keep the events in order."""
        self._filled, self._empty = asyncio.Event(), asyncio.Event()
        """Set when there may be events to take, and when none is left."""
        self._spiller = Spiller(
            watch=self._watch, spill=self._spill_if_possible, adopt=self._adopt, end=self._end
        )

    @property
    def queued(self) -> int:
        """Events that wait in memory."""
        batch = self._batch
        in_hand = len(batch) if batch and batch.state is not BatchState.ON_DISK else 0
        return len(self._waiting) + len(self._moving) + in_hand

    def __len__(self) -> int:
        return self.queued + self.spooled

    def counts(self) -> Counts:
        """Return how many events wait in memory and on disk."""
        return Counts(self.queued, self.spooled, self.recovered, self.replayed)

    async def open(self) -> None:
        """Open the disk, and watch the waiting events from now on."""
        spool = self._spool
        if spool is None:
            return
        # Events that this object itself left there at its last stop do not count as found.
        left, self.spooled = self.spooled, 0
        self.recovered -= left
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                await spool.open()
        except TimeoutError:
            log.warning("spool takes long to open; publishing begins without what is in it")
        self._account_found(spool)
        self._spiller.start()

    async def close(self, until: float) -> None:
        """Bring everything to disk, by ``until`` (monotonic seconds), and close it."""
        await self._spiller.stop(until)

    def put(self, event: PendingEvent) -> None:
        """Add the newest event."""
        self._put += 1
        self._spiller.notice(urgent=len(self._waiting) >= self.capacity)
        self._waiting.append(event)
        self._filled.set()
        self._trim()

    async def filled(self) -> None:
        """Wait for events."""
        while not len(self):
            self._filled.clear()
            await self._filled.wait()

    async def take(self) -> Sequence[PendingEvent]:
        """Wait for events and return the oldest ones, from the disk first."""
        while True:
            async with self._lock:
                if self._spool and self.spooled:
                    await self._read(self._spool)
                elif self._waiting:
                    self._batch = HeldBatch(self._waiting.take_batch())
                if self._batch:
                    return self._batch.events
            await self.filled()

    def done(self) -> None:
        """Forget the batch: the stream has it."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        if self._spool and batch.state is BatchState.ON_DISK:
            self.spooled -= len(batch)
            self.replayed += len(batch)
            self._spool.forget(batch.last_row)
        batch.state = BatchState.PUBLISHED
        self._note_empty()

    def give_back(self) -> None:
        """Put the batch back in front."""
        self._spiller.notice()
        self._filled.set()
        batch, self._batch = self._batch, None
        if batch is None:
            return
        if batch.state is BatchState.IN_MEMORY:
            self._waiting.put_back(batch.events)
            self._trim()
        elif batch.state is BatchState.COPYING:
            self._moving = [*batch.events, *self._moving]
        batch.state = BatchState.RETURNED

    async def drained(self) -> None:
        """Wait until nothing is left to publish."""
        while len(self):
            self._empty.clear()
            await self._empty.wait()

    def clear(self) -> int:
        """Drop the events in memory, and return their number; the disk keeps its own."""
        count = self.queued
        self._waiting.take_all()
        self._moving.clear()
        self._batch = None
        return count

    async def spill(self) -> None:
        """Bring everything in memory to disk, including the batch in the publisher's hand."""
        async with self._lock:
            if self._spool and await self._spool.open():
                self._account_found(self._spool)
                await self._move(self._spool)
            self._filled.set()
            self._note_empty()

    async def _spill_if_possible(self) -> None:
        if self._spool and self._spool.may_try:
            await self.spill()

    async def _end(self) -> None:
        await self.spill()
        if self._spool:
            await self._spool.close()

    def _watch(self) -> Callable[[], bool] | None:
        """Return a predicate: whether events that wait now still wait; None if none waits."""
        if not self.queued:
            return None
        put_before = self._put

        def late() -> bool:
            gone = self._put - self.queued
            return gone < put_before or self.spooled > 0 or len(self._waiting) > self.capacity

        return late

    async def _move(self, spool: Spool) -> None:
        # Only a batch older than all else may be copied: not if older events were found.
        batch = self._batch if not self.spooled else None
        if batch and batch.state is not BatchState.IN_MEMORY:
            batch = None
        self._moving = self._waiting.take_all()
        events = batch.events if batch else ()
        if not events and not self._moving:
            return
        if batch:
            batch.state = BatchState.COPYING
        try:
            appended = await spool.append([*events, *self._moving], len(events))
        except SpoolUnavailable as unavailable:
            self._restore(batch, lost=unavailable.lost, saved=unavailable.saved)
        except BaseException:
            self._restore(batch, lost=False)
            raise
        else:
            self._settle(spool, batch, appended)

    def _settle(self, spool: Spool, batch: HeldBatch | None, appended: Appended) -> None:
        """Record that the disk has all events of the spill."""
        self.spooled += len(self._moving)
        self._moving = []
        if batch and batch.state is BatchState.COPYING:
            batch.state, batch.last_row = BatchState.ON_DISK, appended.last_taken
            self.spooled += len(batch)
        elif batch and batch.state is BatchState.PUBLISHED:
            spool.forget(appended.last_taken)
        self._give_up(appended.evicted, "spool_full")

    def _restore(self, batch: HeldBatch | None, *, lost: bool, saved: int = 0) -> None:
        """Take back the events of the spill: the disk has none of them."""
        if batch and batch.state is BatchState.COPYING:
            batch.state = BatchState.IN_MEMORY
        self._waiting.put_back(self._moving)
        self._moving = []
        if lost:
            self._lose(saved)
        self._trim()

    async def _read(self, spool: Spool) -> None:
        try:
            page = await spool.read(self._waiting.batch, self._waiting.batch_bytes)
        except SpoolUnavailable as unavailable:
            if unavailable.lost:
                self._lose(unavailable.saved)
            else:
                await asyncio.sleep(READ_AGAIN)
            return
        self._give_up(page.damaged, "spool_damaged")
        if page.events:
            self._batch = HeldBatch(page.events, BatchState.ON_DISK, page.last)
        elif page.damaged:
            spool.forget(page.last)
        else:
            self._lose()

    async def _adopt(self) -> None:
        async with self._lock:
            if self._spool:
                await self._spool.adopt()
                self._account_found(self._spool)

    def _account_found(self, spool: Spool) -> None:
        """Count the events that were found on disk."""
        found, lost = spool.collect()
        self.spooled += found
        self.recovered += found
        self._give_up(lost, "spool_full")
        if found:
            self._filled.set()

    def _lose(self, saved: int = 0) -> None:
        """Count events on a damaged disk as lost, except the saved ones and a batch in hand."""
        if self._batch and self._batch.state is BatchState.ON_DISK:
            self._batch.state = BatchState.IN_MEMORY
            self.spooled -= len(self._batch)
        self._give_up(max(0, self.spooled - saved), "spool_damaged")

    def _give_up(self, count: int, reason: DropReason) -> None:
        if count:
            self.spooled -= count
            self._drop(count, reason)
            self._note_empty()

    def _trim(self) -> None:
        limit = self.capacity * OVERSHOOT if self._spool and self._spool.works else self.capacity
        if dropped := self._waiting.trim(limit):
            self._drop(dropped, "queue_full")

    def _note_empty(self) -> None:
        if not len(self):
            self._empty.set()
