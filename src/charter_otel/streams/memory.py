"""The stream within one process: the default, for the demo, for tests and for small fleets."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Container, Sequence
from typing import NamedTuple

from charter_otel.aio import end, share, spawn
from charter_otel.charter import Event
from charter_otel.charter.ids import milliseconds
from charter_otel.streams.base import EventStream
from charter_otel.streams.bridge import EventLoopBridge
from charter_otel.streams.delivery import MAX_DELIVERIES, REDELIVERY_DELAY, Delivery
from charter_otel.streams.history import CAPACITY, History
from charter_otel.streams.types import (
    Backlog,
    Destination,
    Observer,
    Statistics,
    SubscriberStatistics,
    Subscription,
)


class DeadLetter(NamedTuple):
    """An event that a subscriber did not take."""

    event: Event
    group: str
    error: str
    deliveries: int


class QueuedEvent(NamedTuple):
    """An event on its way to a subscriber."""

    event: Event
    traceparent: str | None
    deliveries: int
    """Deliveries that were begun."""


class MemoryStream(EventStream):
    """Carries events within the process; they are lost when the process ends.

    All handlers get the same `Event` object; they must not change its payload.

    Args:
        observer: Is notified of what the stream does.
        capacity: Maximum number of events waiting for one subscriber; beyond it the oldest goes.
        history: Latest events that `read` and `follow` know.
        max_deliveries: Failed deliveries after which an event becomes a dead letter.
        redelivery_delay: Seconds before the second delivery.
    """

    system = "memory"

    def __init__(
        self,
        *,
        observer: Observer | None = None,
        capacity: int = CAPACITY,
        history: int = CAPACITY,
        max_deliveries: int = MAX_DELIVERIES,
        redelivery_delay: float = REDELIVERY_DELAY,
    ) -> None:
        super().__init__(observer=observer)
        self._destination = Destination(self.system, "events")
        self._capacity = capacity
        self._max_deliveries = max_deliveries
        self._redelivery_delay = redelivery_delay
        self._history = History(history)
        self._bridge = EventLoopBridge()
        self._queues: list[SubscriberQueue] = []
        self._dead: deque[DeadLetter] = deque(maxlen=1000)
        self._accepted = self._published = self._dropped = self._unreported = 0
        self._running = False
        self._since = time.monotonic()
        self._stopped = False

    @property
    def dead_letters(self) -> Sequence[DeadLetter]:
        """The latest thousand events that subscribers did not take, oldest first."""
        return tuple(self._dead)

    def publish_nowait(
        self, event: Event, *, encoded: bytes | None = None, traceparent: str | None = None
    ) -> bool:
        """Hand an event to all subscribers' queues."""
        del encoded
        milliseconds(event.id)
        return self._bridge.run(self._accept, QueuedEvent(event, traceparent, 0))

    async def start(self) -> None:
        """Begin to deliver waiting events."""
        if self._running:
            return
        self._running, self._stopped = True, False
        self._since = time.monotonic()
        self._bridge.bind()
        self._history.open()
        for queue in self._queues:
            queue.open()

    async def stop(self, deadline: float = 5.0) -> None:
        """Deliver waiting events and stop; unhandled events wait for the next start."""
        self._stopped = True
        if not self._running:
            return
        until = time.monotonic() + deadline
        await asyncio.gather(*(queue.close(until) for queue in self._queues))
        self._running, self._since = False, time.monotonic()
        self._report()
        self._history.close()
        self._bridge.unbind()

    async def read(
        self, *, after: str | None = None, types: Container[str] = frozenset(), limit: int = 100
    ) -> Sequence[Event]:
        """Return events that the history holds, oldest first."""
        if after is None:
            return self._history.recent(types, limit)
        return self._history.after(self._position_after(after), types, limit)

    def follow(
        self, *, after: str | None = None, types: Container[str] = frozenset()
    ) -> AsyncIterator[Event]:
        """Return events as they come."""
        position = self._history.end if after is None else self._position_after(after)
        return self._history.follow(position, types)

    def statistics(self) -> Statistics:
        """Return how the stream is doing; publishing is immediate here, so ``queued`` is 0."""
        return Statistics(
            system=self.system,
            connected=self._running,
            published=self._published,
            queued=0,
            capacity=self._capacity,
            dropped=self._dropped,
            subscribers=tuple(queue.statistics() for queue in self._queues),
            accepted=self._accepted,
            since=self._since,
        )

    def subscribed(self, subscription: Subscription) -> None:
        """Deliver to a new subscription, at once if the stream is running."""
        delivery = Delivery(
            subscription,
            self.observer,
            destination=self._destination,
            max_deliveries=self._max_deliveries,
            redelivery_delay=self._redelivery_delay,
        )
        queue = SubscriberQueue(subscription, delivery, self._dead, self._capacity)
        if subscription.start == "earliest":
            for event in self._history.recent(frozenset(), self._capacity):
                queue.put(QueuedEvent(event, None, 0))
        self._queues.append(queue)
        if self._running:
            queue.open()

    def _accept(self, queued: QueuedEvent) -> bool:
        self._accepted += 1
        if self._stopped and not self._running:
            return self._drop(1, stopped=True)
        if queued.event.id in self._history:
            return True
        self._history.append(queued.event)
        self._published += 1
        self._report_soon()
        dropped = sum([queue.put(queued) for queue in self._queues])
        return not dropped or self._drop(dropped)

    def _report_soon(self) -> None:
        # Notifying the observer is the costliest step; once per turn of the loop is enough.
        self._unreported += 1
        if self._unreported == 1:
            self._bridge.run_soon(self._report)

    def _report(self) -> None:
        count, self._unreported = self._unreported, 0
        if count:
            self.observer.published(self._destination, count, 0.0, None)

    def _drop(self, count: int, *, stopped: bool = False) -> bool:
        self._dropped += count
        self.observer.dropped(count, "stopped" if stopped else "queue_full")
        return False

    def _position_after(self, event_id: str) -> int:
        made = milliseconds(event_id)
        mark = self._history.mark_of(event_id)
        position = None if mark is None else self._history.seek(mark)
        if position is not None:
            return position
        # Older than the ring, or never seen: every later event, rather twice than never.
        held = self._history.after(self._history.start, frozenset(), self._history.end)
        newer = (at for at, event in enumerate(held) if milliseconds(event.id) >= made)
        # An id ahead of all held ones comes from an earlier stream whose clock was ahead.
        return self._history.start + next(newer, 0)


class SubscriberQueue:
    """One subscriber's queue, and the task that empties it."""

    def __init__(
        self, subscription: Subscription, delivery: Delivery, dead: deque[DeadLetter], capacity: int
    ) -> None:
        self._subscription = subscription
        self._delivery = delivery
        self._dead = dead
        self._capacity = capacity
        self._waiting: deque[QueuedEvent] = deque()
        self._current: QueuedEvent | None = None
        """The event in the handler's hands until it is settled; a stop puts it back in front."""
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, queued: QueuedEvent) -> int:
        """Queue an event that the subscriber wants, and return the number dropped for it."""
        if queued.event.type not in self._subscription.types:
            return 0
        excess = len(self._waiting) >= self._capacity
        if excess:
            self._waiting.popleft()
        self._waiting.append(queued)
        self._filled.set()
        return int(excess)

    def open(self) -> None:
        """Begin to deliver."""
        self._delivery.begin()
        self._task = spawn(self._deliver(), f"charter memory {self._subscription.group}")

    async def close(self, until: float) -> None:
        """Deliver waiting events for most of the time, and end the task by ``until``."""
        if self._task is None:
            return
        await self._empty(share(until, 0.8))
        self._delivery.stop(self._task)
        await end(self._task, until)
        self._task = None
        if self._current is not None:
            self._waiting.appendleft(self._current)
            self._current = None

    def statistics(self) -> SubscriberStatistics:
        """Return the subscriber's statistics."""
        # Copied in one step: a thread that exports metrics asks while the loop delivers.
        queued = [*([self._current] if self._current else ()), *self._waiting]
        age = time.time() - milliseconds(queued[0].event.id) / 1000 if queued else 0.0
        return self._delivery.statistics(Backlog(len(queued), max(0.0, age)))

    async def _empty(self, until: float) -> None:
        while self._waiting and (left := until - time.monotonic()) > 0:
            self._drained.clear()
            try:
                await asyncio.wait_for(self._drained.wait(), left)
            except TimeoutError:
                return

    async def _deliver(self) -> None:
        if self._subscription.lease is not None:
            await self._subscription.lease.wait()
        while True:
            while not self._waiting:
                self._drained.set()
                self._filled.clear()
                await self._filled.wait()
            await self._settle(self._waiting.popleft())
            self._delivery.checkpoint()

    async def _settle(self, queued: QueuedEvent) -> None:
        self._current = queued
        await self._delivery.settle(queued.event, queued.traceparent, queued.deliveries, self)
        self._current = None

    async def count(self, deliveries: int) -> None:
        """Record the delivery that begins now, in case a stop cuts it short."""
        if self._current is not None:
            self._current = self._current._replace(deliveries=deliveries)

    async def postpone(self) -> None:
        """Forget the delivery that was begun."""
        if self._current is not None:
            await self.count(self._current.deliveries - 1)

    def done(self) -> None:
        """Record that the event was handled; the next one comes from the queue."""

    async def dead_letter(self, error: str, deliveries: int) -> None:
        """Add the event to the dead letters."""
        if self._current is not None:
            event, group = self._current.event, self._subscription.group
            self._dead.append(DeadLetter(event, group, error, deliveries))
            self._delivery.dead_letter(event.id, error, deliveries)
