"""Events on their way to a stream, and the queue in which they wait."""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from charter_otel.streams.types import DropReason

OVERSHOOT = 5
"""Multiple of its capacity that a queue may hold until the disk has taken the excess."""

BATCH = 250
"""Events that a batch holds at most: Redis takes them in less than 2 ms."""

BATCH_BYTES = 262_144
"""Size of a batch beyond which no event is added to it."""

Drop = Callable[[int, DropReason], object]
"""Is called with the number of events that were given up, and the reason."""


class PendingEvent(NamedTuple):
    """An event on its way to the stream."""

    id: str
    minute: int
    """Minutes since 1970, according to the event's id."""
    data: bytes
    """The envelope's JSON."""
    traceparent: str | None


class Counts(NamedTuple):
    """The contents of an outbox, as `charter_otel.streams.Statistics` reports it."""

    queued: int
    """Events that wait in memory."""
    spooled: int = 0
    """Events that wait on disk."""
    recovered: int = 0
    """Events of earlier processes that were found on disk."""
    replayed: int = 0
    """Events that were published from disk."""


class PendingQueue:
    """Events in memory, oldest first, that leave in bounded batches.

    Args:
        batch: Events that a batch holds at most.
        batch_bytes: Size of a batch beyond which no event is added to it.
    """

    def __init__(self, batch: int = BATCH, batch_bytes: int = BATCH_BYTES) -> None:
        self.batch = batch
        self.batch_bytes = batch_bytes
        self._events: deque[PendingEvent] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: PendingEvent) -> None:
        """Add the newest event."""
        self._events.append(event)

    def put_back(self, events: Sequence[PendingEvent]) -> None:
        """Add events that are older than the rest."""
        self._events.extendleft(reversed(events))

    def take_batch(self) -> list[PendingEvent]:
        """Remove and return the oldest events that fit into a batch, at least one of them."""
        size, count = 0, 0
        for event in islice(self._events, self.batch):
            size += len(event.data)
            if size > self.batch_bytes and count:
                break
            count += 1
        return [self._events.popleft() for _ in range(count)]

    def take_all(self) -> list[PendingEvent]:
        """Remove and return everything."""
        events = list(self._events)
        self._events.clear()
        return events

    def trim(self, limit: int) -> int:
        """Remove the oldest events beyond a limit, and return their number."""
        excess = max(0, len(self._events) - limit)
        for _ in range(excess):
            self._events.popleft()
        return excess
