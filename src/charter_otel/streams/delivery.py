"""Delivery of events to one subscriber's handler, with bounded retries after failures."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import structlog

from charter_otel.aio import Backoff, describe
from charter_otel.charter import Event
from charter_otel.streams.types import (
    Backlog,
    BatchHandler,
    Destination,
    LeaseLost,
    NotNow,
    Observer,
    SubscriberStatistics,
    Subscription,
)

log = structlog.get_logger(__name__)

MAX_DELIVERIES = 5
"""Number of deliveries to a group after which an event becomes a dead letter."""

REDELIVERY_DELAY = 0.05
"""Seconds before the second delivery; the delay doubles up to `REDELIVERY_LIMIT`."""

REDELIVERY_LIMIT = 1.0
"""Longest delay between two deliveries, in seconds."""


class Ledger(Protocol):
    """The stream's record of an event that a subscriber has in hand."""

    async def count(self, deliveries: int) -> None:
        """Record the delivery that begins now, in case this process ends during it."""

    async def postpone(self) -> None:
        """Forget the delivery that was begun: the subscriber was not ready for the event."""

    def done(self) -> None:
        """Record that the subscriber has handled the event."""

    async def dead_letter(self, error: str, deliveries: int) -> None:
        """Make the event a dead letter, and stop delivering it to the subscriber."""


class Delivery:
    """Delivers one subscriber's events, and counts the outcomes.

    Args:
        subscription: The handler and its event types.
        observer: Is notified of each outcome.
        destination: The stream.
        max_deliveries: Failed deliveries after which an event is given up.
        redelivery_delay: Seconds before the second delivery.
    """

    def __init__(
        self,
        subscription: Subscription,
        observer: Observer,
        *,
        destination: Destination,
        max_deliveries: int = MAX_DELIVERIES,
        redelivery_delay: float = REDELIVERY_DELAY,
    ) -> None:
        self.max_deliveries = max_deliveries
        self._handler = subscription.handler
        self._group = subscription.group
        self._lease = subscription.lease
        self._observer = observer
        self._destination = destination
        self._delay = redelivery_delay
        self._delivered = self._redelivered = self._dead_lettered = self._trimmed = 0
        self._failing = False
        """Whether the last attempt failed; a change is logged, not each attempt."""
        self._waiting: str | None = None
        """The handler's latest `NotNow` text, until it takes an event."""
        self._handling = False
        """Whether the handler runs; a stop then waits for it."""
        self._stopping = False
        """Whether the delivering task ends at its next `checkpoint`."""

    async def settle(
        self, event: Event, traceparent: str | None, begun: int, ledger: Ledger
    ) -> None:
        """Deliver an event until the handler takes it, or too many deliveries have failed.

        Args:
            event: The event.
            traceparent: The publisher's trace context.
            begun: Earlier deliveries, begun by processes that ended during them.
            ledger: Where the stream records the event's outcome.

        Raises:
            asyncio.CancelledError: The task is to stop; the event is not settled.
            LeaseLost: The event now belongs to another process.
        """
        error: Exception | None = None
        backoff = Backoff(self._delay, REDELIVERY_LIMIT)
        deliveries = begun
        while deliveries < self.max_deliveries:
            await ledger.count(deliveries + 1)
            error = await self._deliver(event, traceparent, deliveries + 1)
            if error is None:
                ledger.done()
                return
            if isinstance(error, NotNow):
                await ledger.postpone()
            else:
                deliveries += 1
                if deliveries >= self.max_deliveries:
                    break
            await self._pause(backoff)
        ended = f"not handled in {deliveries} deliveries, whose consumers ended"
        text = ended if error is None else describe(error)
        await ledger.dead_letter(text, deliveries)

    async def settle_batch(
        self, handler: BatchHandler, batch: Sequence[tuple[Event, str | None]], ledger: Ledger
    ) -> bool:
        """Deliver events as one batch, again for as long as the handler asks to wait.

        Returns:
            Whether the handler took them; otherwise settle each alone.

        Raises:
            asyncio.CancelledError: The task is to stop; nothing is settled.
            LeaseLost: The events now belong to another process.
        """
        backoff = Backoff(self._delay, REDELIVERY_LIMIT)
        while True:
            await ledger.count(1)
            handling = partial(handler, [event for event, _ in batch])
            processing = self._observer.processing_batch(self._destination, self._group, batch)
            error = await self._attempt(handling, processing, len(batch))
            if error is None:
                ledger.done()
                return True
            if not isinstance(error, NotNow):
                return False
            await ledger.postpone()
            await self._pause(backoff)

    async def _deliver(
        self, event: Event, traceparent: str | None, deliveries: int
    ) -> Exception | None:
        if deliveries > 1:
            self._note_redelivery()
        handling = partial(self._handler, event)
        return await self._attempt(handling, self._processing(event, traceparent), 1)

    async def _pause(self, backoff: Backoff) -> None:
        self.checkpoint()
        await asyncio.sleep(backoff.next())
        self.checkpoint()

    async def _attempt(
        self,
        handling: Callable[[], Awaitable[None]],
        processing: AbstractContextManager[None],
        count: int,
    ) -> Exception | None:
        self._handling = True
        try:
            with processing:
                await handling()
        except asyncio.CancelledError as error:
            if _cancelled():
                raise
            # Something inside the handler was cancelled, not this task: the handler failed.
            return self._failed(RuntimeError(f"the handler was cancelled inside: {error!r}"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the event was not handled
            return self._failed(error)
        finally:
            self._handling = False
        self._delivered += count
        self._waiting = None
        if self._failing:
            self._failing = False
            log.info("subscriber takes events again", group=self._group)
        return None

    def trimmed(self, count: int) -> None:
        """Count events that left the stream before the subscriber had them, if there are any."""
        if not count:
            return
        log.error("events were trimmed before they were handled", group=self._group, count=count)
        self._trimmed += count
        self._observer.dropped(count, "trimmed")

    def dead_letter(self, entry: str, error: str, deliveries: int) -> None:
        """Record a dead letter; ``entry`` says which, in the stream's words."""
        self._dead_lettered += 1
        self._observer.dead_lettered(self._group)
        log.error(
            "event given up, see the dead letters",
            group=self._group,
            entry=entry,
            error=error,
            deliveries=deliveries,
        )

    def begin(self) -> None:
        """Get ready to deliver, also after a stop."""
        self._stopping = False

    def stop(self, task: asyncio.Task[None]) -> None:
        """End the delivering task now, or when the running handler returns."""
        self._stopping = True
        if not self._handling:
            task.cancel()

    def checkpoint(self) -> None:
        """End the delivering task here if it is to stop.

        Raises:
            asyncio.CancelledError: It is to stop.
            LeaseLost: The group's events now belong to another process.
        """
        if self._stopping:
            raise asyncio.CancelledError
        if self._lease is not None and not self._lease.held:
            raise LeaseLost

    def statistics(self, backlog: Backlog) -> SubscriberStatistics:
        """Return the statistics, with the events not acknowledged yet."""
        return SubscriberStatistics(
            group=self._group,
            delivered=self._delivered,
            redelivered=self._redelivered,
            dead_lettered=self._dead_lettered,
            lag=backlog.events,
            waiting=self._waiting,
            holder=self._lease is None or self._lease.held,
            trimmed=self._trimmed,
            age=backlog.age,
        )

    def _processing(self, event: Event, traceparent: str | None) -> AbstractContextManager[None]:
        return self._observer.processing(self._destination, self._group, event, traceparent)

    def _failed(self, error: Exception) -> Exception:
        waits = isinstance(error, NotNow)
        self._waiting = str(error) if waits else None
        if not self._failing:
            self._failing = True
            log.warning(
                "subscriber takes no events now, they wait"
                if waits
                else "subscriber failed, the event is delivered again",
                group=self._group,
                error=str(error) if waits else describe(error),
            )
        return error

    def _note_redelivery(self) -> None:
        self._redelivered += 1
        self._observer.redelivered(self._group)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
