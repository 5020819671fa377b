"""The bounded queue in front of a publisher. `charter_otel.streams.spool` puts a disk behind it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

BATCH = 250
"""Events that a batch holds at most: Redis takes them in less than 2 ms."""

BATCH_BYTES = 262_144
"""Size of a batch beyond which no event is added to it."""


class PendingEvent(NamedTuple):
    """An event on its way to the stream."""

    id: str
    minute: int
    """Minutes since 1970, by the event's id."""
    data: bytes
    """The envelope's JSON."""
    traceparent: str | None


class Outbox:
    """Events waiting to be published, in order.

    One publisher takes a batch, and then either keeps it (`done`) or gives it back. Those it has
    taken are safe from the overflow until they are back.

    Args:
        capacity: Events that wait at most; beyond it the oldest goes.
        batch: Events that a batch holds at most.
        batch_bytes: Size of a batch beyond which no event is added to it.
    """

    spooled = 0
    """Events that wait on disk."""
    recovered = 0
    """Events of earlier processes that were found on disk."""
    replayed = 0
    """Events that were published from disk."""

    def __init__(
        self, capacity: int = 10_000, *, batch: int = BATCH, batch_bytes: int = BATCH_BYTES
    ) -> None:
        if capacity < 1:
            raise ValueError(f"the publishing queue holds at least one event, not {capacity}")
        self.capacity = capacity
        self._batch = batch
        self._batch_bytes = batch_bytes
        self._waiting: deque[PendingEvent] = deque()
        self._taken: Sequence[PendingEvent] = ()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return self.queued

    @property
    def queued(self) -> int:
        """Events that wait in memory."""
        return len(self._waiting) + len(self._taken)

    @property
    def _limit(self) -> int:
        return self.capacity

    async def open(self) -> None:
        """Begin; there is nothing to open here."""

    async def close(self, until: float) -> None:
        """Keep what waits for the next process, by ``until``; there is nowhere to keep it here."""

    def put(self, event: PendingEvent) -> int:
        """Add the newest event, and give the number of those dropped for it."""
        self._waiting.append(event)
        self._filled.set()
        return self._overflow()

    async def take(self) -> Sequence[PendingEvent]:
        """Wait for events and give the oldest ones; `done` or `give_back` must follow."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._take()

    def done(self) -> None:
        """Forget the batch: the stream has it."""
        self._taken = ()
        self._note_empty()

    def give_back(self) -> int:
        """Put the batch back in front, and give the number of events dropped for it."""
        self._waiting.extendleft(reversed(self._taken))
        self._taken = ()
        self._filled.set()
        return self._overflow()

    async def drained(self) -> None:
        """Wait until nothing is left to publish."""
        while len(self):
            self._empty.clear()
            await self._empty.wait()

    def clear(self) -> int:
        """Give up what is left, and say how much that was."""
        count = len(self)
        self._waiting.clear()
        self._taken = ()
        return count

    def _take(self) -> Sequence[PendingEvent]:
        count = self._batch_length()
        self._taken = [self._waiting.popleft() for _ in range(count)]
        return self._taken

    def _note_empty(self) -> None:
        if not len(self):
            self._empty.set()

    def _overflow(self) -> int:
        excess = max(0, len(self._waiting) - self._limit)
        for _ in range(excess):
            self._waiting.popleft()
        return excess

    def _batch_length(self) -> int:
        size = 0
        for count, event in enumerate(islice(self._waiting, self._batch)):
            size += len(event.data)
            if size > self._batch_bytes and count:
                return count
        return min(len(self._waiting), self._batch)
