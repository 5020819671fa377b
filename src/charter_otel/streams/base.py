"""The interface of an event stream: publish, subscribe, read, follow, start, stop, statistics."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Container, Sequence
from inspect import iscoroutinefunction, isroutine
from typing import TypeVar

from charter_otel.charter import Event
from charter_otel.charter.patterns import resolve
from charter_otel.streams.register import OpenRegister
from charter_otel.streams.types import (
    BatchHandler,
    Handler,
    Lease,
    Observer,
    SilentObserver,
    Start,
    Statistics,
    Subscription,
    TakeOver,
)

HandlerT = TypeVar("HandlerT", bound=Handler)
BatchHandlerT = TypeVar("BatchHandlerT", bound=BatchHandler)


class EventStream(ABC):
    """Carries events from emitters to subscribers, in order per source, at least once.

    Publishing never waits: `publish_nowait` puts the event into a bounded queue, and a task of
    the stream's own sends it on. Each subscriber has a delivering task of its own, so that a slow
    or failing handler delays no other subscriber. A handler that raises gets the event again;
    after ``max_deliveries`` the event becomes a dead letter.
    """

    system: str
    """``messaging.system.name`` of the semantic conventions."""

    def __init__(self, *, observer: Observer | None = None) -> None:
        self.observer: Observer = observer or SilentObserver()
        self._subscriptions: dict[str, Subscription] = {}

    def subscribe(
        self,
        *patterns: str,
        group: str | None = None,
        start: Start = "new",
        take_over: TakeOver | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the decorated coroutine function as a handler.

        Args:
            patterns: Event types; ``*`` and ``telemetry.*`` stand for several.
            group: Name under which the stream keeps the subscriber's place; several processes
                that name the same group share its events. By default the handler's own name.
            start: Where a group begins if the stream does not know it: with events published from
                now on, or with the earliest that the stream holds.
            take_over: Makes the group exclusive: only one of several processes handles its events.
                Awaited with the `Lease` when this process becomes that one.

        Raises:
            ValueError: No event type matches a pattern, or the group is taken in this process.
            TypeError: The handler is not a coroutine function.
        """
        types = _types(patterns)

        def register(handler: HandlerT) -> HandlerT:
            name = _name(handler, group)
            lease = take_over and self._lease(name, take_over)
            self.register(Subscription(handler, types, name, start, None, lease))
            return handler

        return register

    def subscribe_batch(
        self,
        *patterns: str,
        group: str | None = None,
        start: Start = "new",
        take_over: TakeOver | None = None,
    ) -> Callable[[BatchHandlerT], BatchHandlerT]:
        """Register the decorated coroutine function as a handler of several events at once.

        For handlers to which many events cost little more than one: a row each in a file that is
        synced once, say. A batch holds the waiting events, up to a hundred from Redis and one from
        memory. If the handler raises, the batch is split: each event is delivered alone, and
        becomes a dead letter alone. Arguments and errors are those of `subscribe`.
        """
        types = _types(patterns)

        def register(handler: BatchHandlerT) -> BatchHandlerT:
            async def alone(event: Event) -> None:
                await handler([event])

            name = _name(handler, group)
            lease = take_over and self._lease(name, take_over)
            self.register(Subscription(alone, types, name, start, handler, lease))
            return handler

        return register

    def register(self, subscription: Subscription) -> None:
        """Add a subscription that `subscribe` or `subscribe_batch` has made.

        Raises:
            ValueError: The group is taken in this process.
        """
        if subscription.group in self._subscriptions:
            raise ValueError(
                f"group {subscription.group!r} has a handler already; give another group="
            )
        self._subscriptions[subscription.group] = subscription
        self.subscribed(subscription)

    def use_register(self, register: OpenRegister | None) -> None:
        """Keep a register of open connections that moves with the stream; call it before `start`.

        Only a stream that several processes share needs one; others ignore it.
        """
        del register

    async def publish(self, event: Event) -> None:
        """Publish an event; returns as soon as it is queued."""
        self.publish_nowait(event)

    @abstractmethod
    def publish_nowait(
        self, event: Event, *, encoded: bytes | None = None, traceparent: str | None = None
    ) -> bool:
        """Queue an event for publishing; never blocks and never raises for a full queue.

        Args:
            event: The event.
            encoded: The event's JSON, if the caller has it already.
            traceparent: W3C trace context of the publisher, carried beside the event.

        Returns:
            Whether nothing had to be dropped. If the queue is full, the oldest event is dropped.

        Raises:
            ValueError: The event's id is invalid, or the event cannot be encoded. Events from
                `create` are always valid.
        """

    @abstractmethod
    async def start(self) -> None:
        """Begin to publish and deliver. Does not wait for the stream to be reachable."""

    @abstractmethod
    async def stop(self, deadline: float = 5.0) -> None:
        """Publish the queued events, let handlers end, and stop, within ``deadline`` seconds."""

    @abstractmethod
    async def read(
        self, *, after: str | None = None, types: Container[str] = frozenset(), limit: int = 100
    ) -> Sequence[Event]:
        """Return events, oldest first.

        Args:
            after: Id of the event after which to begin; without it, the latest events.
            types: Event types to return; empty for all.
            limit: How many at most.

        Raises:
            ValueError: ``after`` is not an event id.
            StreamUnavailable: The stream cannot be reached.
        """

    @abstractmethod
    def follow(
        self, *, after: str | None = None, types: Container[str] = frozenset()
    ) -> AsyncIterator[Event]:
        """Return events as they come, from now on or from the one after the event id ``after``.

        Ends when the stream stops. Close the iterator (`contextlib.aclosing`) when done. A slow
        reader holds no memory but misses events, which is counted and logged.

        Raises:
            ValueError: ``after`` is not an event id.
            StreamUnavailable: From the iterator: the events after ``after`` cannot be read.
        """

    @abstractmethod
    def statistics(self) -> Statistics:
        """Return how the stream is doing, without I/O."""

    def _lease(self, group: str, take_over: TakeOver) -> Lease:
        """Return the lease of an exclusive group; a stream shared by processes overrides it."""
        del group
        return Lease(take_over)

    @abstractmethod
    def subscribed(self, subscription: Subscription) -> None:
        """Record a new subscription; a running stream starts to deliver to it."""


def _types(patterns: Sequence[str]) -> Container[str]:
    if not patterns:
        raise ValueError("subscribing needs an event type, e.g. 'metrics.*' or '*'")
    return resolve(patterns)


def _name(handler: Handler | BatchHandler, group: str | None) -> str:
    # A callable object may return anything awaitable; only a function can be checked.
    if isroutine(handler) and not iscoroutinefunction(handler):
        raise TypeError(f"{handler!r} is not a coroutine function; write async def")
    return group or f"{handler.__module__}.{handler.__qualname__}"
