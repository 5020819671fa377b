"""Handing events to one subscriber's handler, again after a failure, up to a cap."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import structlog

from charter_otel.aio import Backoff, describe
from charter_otel.charter import Event
from charter_otel.streams.types import BatchHandler, Observer, SubscriberStatistics, Subscription

log = structlog.get_logger(__name__)

MAX_DELIVERIES = 5
"""How often an event is delivered to a group before it becomes a dead letter."""

REDELIVERY_DELAY = 0.05
"""Seconds before the second delivery; the delay doubles up to `REDELIVERY_LIMIT`."""

REDELIVERY_LIMIT = 1.0
"""Seconds that lie between two deliveries at most."""


class Delivery:
    """What becomes of one subscriber's events, and the score of it.

    Args:
        subscription: The handler and what it wants.
        observer: Who is told.
        system: The stream's ``messaging.system``.
        destination: The stream's name.
        max_deliveries: After so many failed deliveries an event is given up.
        redelivery_delay: Seconds before the second delivery.
    """

    def __init__(
        self,
        subscription: Subscription,
        observer: Observer,
        *,
        system: str,
        destination: str,
        max_deliveries: int = MAX_DELIVERIES,
        redelivery_delay: float = REDELIVERY_DELAY,
    ) -> None:
        self.max_deliveries = max_deliveries
        self._handler = subscription.handler
        self._group = subscription.group
        self._observer = observer
        self._system = system
        self._destination = destination
        self._delay = redelivery_delay
        self._delivered = 0
        self._redelivered = 0
        self._dead_lettered = 0
        self._failing = False
        self._handling = False
        self._stopping = False

    async def deliver(
        self, event: Event, traceparent: str | None, deliveries: int = 1
    ) -> Exception | None:
        """Deliver an event once.

        Args:
            event: The event.
            traceparent: The publisher's trace context.
            deliveries: Which delivery it is; more than 1 after a crash.

        Returns:
            None, or why the handler did not take it.
        """
        if deliveries > 1:
            self._note_redelivery()
        handling = partial(self._handler, event)
        return await self._attempt(handling, self._processing(event, traceparent), 1)

    async def deliver_batch(
        self, handler: BatchHandler, batch: Sequence[tuple[Event, str | None]]
    ) -> Exception | None:
        """Deliver events at once.

        Args:
            handler: The subscription's batch handler.
            batch: The events, each with its publisher's trace context.

        Returns:
            None, or why the handler did not take them; each is then to be delivered alone.
        """
        handling = partial(handler, [event for event, _ in batch])
        processing = _together([self._processing(*parcel) for parcel in batch])
        return await self._attempt(handling, processing, len(batch))

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
        if self._failing:
            self._failing = False
            log.info("subscriber takes events again", group=self._group)
        return None

    async def retry(
        self,
        error: Exception,
        event: Event,
        traceparent: str | None,
        deliveries: int,
        count: Callable[[int], Awaitable[None]],
    ) -> Exception | None:
        """Deliver an event again until the handler takes it or the cap is reached.

        Args:
            error: Why the handler did not take it the last time.
            event: The event.
            traceparent: The publisher's trace context.
            deliveries: Deliveries so far.
            count: Called with the number of each further delivery before it is made.

        Returns:
            None, or the last error of an event that is given up.
        """
        last: Exception | None = error
        backoff = Backoff(self._delay, REDELIVERY_LIMIT)
        while last is not None and deliveries < self.max_deliveries:
            self.checkpoint()
            deliveries += 1
            await asyncio.sleep(backoff.next())
            await count(deliveries)
            last = await self.deliver(event, traceparent, deliveries)
        return last

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
        """Get ready to deliver, after a stop too."""
        self._stopping = False

    def stop(self, task: asyncio.Task[None]) -> None:
        """End the delivering task now, or when the handler that runs returns."""
        self._stopping = True
        if not self._handling:
            task.cancel()

    def checkpoint(self) -> None:
        """End the delivering task here if it is to stop.

        Raises:
            asyncio.CancelledError: It is.
        """
        if self._stopping:
            raise asyncio.CancelledError

    def statistics(self, lag: int) -> SubscriberStatistics:
        """Return the score; ``lag`` is the number of events not acknowledged yet."""
        return SubscriberStatistics(
            group=self._group,
            delivered=self._delivered,
            redelivered=self._redelivered,
            dead_lettered=self._dead_lettered,
            lag=lag,
        )

    def _processing(self, event: Event, traceparent: str | None) -> AbstractContextManager[None]:
        return self._observer.processing(
            self._system, self._destination, self._group, event, traceparent
        )

    def _failed(self, error: Exception) -> Exception:
        if not self._failing:
            self._failing = True
            log.warning(
                "subscriber failed, the event is delivered again",
                group=self._group,
                error=describe(error),
            )
        return error

    def _note_redelivery(self) -> None:
        self._redelivered += 1
        self._observer.redelivered(self._group)


@contextmanager
def _together(managers: Sequence[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for manager in managers:
            stack.enter_context(manager)
        yield


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
