"""The interface of a consumer, and how one follows a stream without a position of its own."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Container
from contextlib import aclosing
from typing import TypeVar

import structlog

from charter_otel.aio import describe, end, spawn
from charter_otel.charter import Event
from charter_otel.streams import EventStream, Lease, StreamUnavailable

Value = TypeVar("Value")

log = structlog.get_logger(__name__)

RESTORED = 1000
"""Latest events that a following consumer reads at its start."""
RETRY_AFTER = 1.0
"""Seconds before a stream that was not reachable is followed again."""


class Consumer(ABC):
    """Does something with the events of a stream.

    The order is: `attach`, the stream's start, `start`; the stream's stop, `stop`.
    """

    name: str
    """Its name on the command line."""
    since: float | None = None
    """Monotonic time at which `trouble` began or ended, or None."""
    _trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why it cannot work at the moment, and the remedy; or None. `/readyz` reports it."""
        return self._trouble

    @trouble.setter
    def trouble(self, text: str | None) -> None:
        if (text is None) != (self._trouble is None):
            self.since = time.monotonic()
        self._trouble = text

    @property
    def holds(self) -> bool:
        """Whether this instance does the work; another one may."""
        return True

    @abstractmethod
    def attach(self, stream: EventStream) -> None:
        """Connect the consumer to the events of this stream."""

    @abstractmethod
    async def start(self) -> None:
        """Start the consumer's work."""

    @abstractmethod
    async def stop(self) -> None:
        """End the work that `start` began."""


class ExclusiveConsumer(Consumer):
    """A consumer whose group one of several instances holds."""

    def __init__(self) -> None:
        self._holds = True
        """The value of `holds` before the first lease; a stream without leases delivers at once."""
        self._lease: Lease | None = None
        """The group's lease, once this process has held it; not needed without a stream."""

    @property
    def holds(self) -> bool:
        """Whether this instance holds the group; another one may."""
        return self._holds if self._lease is None else self._lease.held


class Follower(Consumer):
    """A consumer that keeps a picture in memory.

    It follows the stream instead of subscribing: every instance sees every event, and none has to
    be acknowledged. A picture that is lost with its process holds nothing back in the stream. The
    picture begins with the latest `RESTORED` events.
    """

    types: Container[str] = frozenset()
    """Event types that it wants; empty for all."""

    def __init__(self) -> None:
        self._stream: EventStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._last: str | None = None

    @abstractmethod
    def apply(self, event: Event) -> None:
        """Take an event into the picture."""

    def attach(self, stream: EventStream) -> None:
        """Follow this stream, from `start` on."""
        self._stream = stream

    async def start(self) -> None:
        """Begin to follow."""
        self._task = spawn(self._run(), f"charter consumer {self.name}")

    async def stop(self) -> None:
        """Stop following; the picture stays."""
        task, self._task = self._task, None
        if task is not None:
            await end(task, time.monotonic())

    async def _run(self) -> None:
        while self._stream is not None:
            try:
                await self._follow(self._stream)
            except StreamUnavailable as error:
                log.warning("consumer waits for the stream", consumer=self.name, error=str(error))
                await asyncio.sleep(RETRY_AFTER)
            else:
                return

    async def _follow(self, stream: EventStream) -> None:
        if self._last is None:
            for event in await stream.read(types=self.types, limit=RESTORED):
                self._take(event)
        async with aclosing(stream.follow(after=self._last, types=self.types)) as events:  # type: ignore[type-var]
            async for event in events:
                self._take(event)

    def _take(self, event: Event) -> None:
        self.apply(event)
        self._last = event.id


def keep_latest(entries: dict[str, Value], name: str, value: Value, most: int) -> None:
    """Put an entry last, as the latest, and drop the first one if there are too many."""
    entries.pop(name, None)
    entries[name] = value
    if len(entries) > most:
        del entries[next(iter(entries))]


def unwritable(what: str, error: BaseException) -> str:
    """Return what `Consumer.trouble` says of files that cannot be written."""
    return (
        f"{what} cannot be written ({describe(error)}); "
        "free space, make it writable, or set CHARTER_STATE_DIR to a directory that is"
    )
