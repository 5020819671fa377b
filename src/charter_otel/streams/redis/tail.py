"""Reading outside groups: one tail per process feeds the history, ranges go further back."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Container
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from charter_otel.aio import Backoff, describe
from charter_otel.charter import Event, InvalidEvent
from charter_otel.charter.ids import MINUTE, milliseconds
from charter_otel.redis import commands
from charter_otel.redis.commands import RawEntry
from charter_otel.redis.errors import FAILURES, explain
from charter_otel.redis.script import Script
from charter_otel.streams.company import Company
from charter_otel.streams.history import History, Located, StreamPosition
from charter_otel.streams.redis.health import RedisHealth
from charter_otel.streams.redis.layout import Fields, StreamKeys, mark_of, parse, range_after, since
from charter_otel.streams.types import StreamUnavailable

T = TypeVar("T")

log = structlog.get_logger(__name__)

PRELOADED = 1000
"""Past events that the history begins with."""

SCANNED = 20_000
"""Entries that are searched for the latest events of the wanted types."""

LOOK_EVERY = 1.0
"""Seconds of silence after which the tail makes sure that the stream is still the same."""

LINGER = 0.025
"""Seconds for which the next read waits for events that probably come."""

_PAGE = 500
_BLOCK = 250


class Tail:
    """Feeds the history with the stream's new events, over one connection.

    It reads on from the entry that it read last. A stream that neither has that entry any more nor
    begins after it began anew: it is read from its beginning, and the history starts over.
    """

    name = "tail"

    def __init__(
        self, client: Redis, layout: StreamKeys, history: History, health: RedisHealth
    ) -> None:
        self.beginning = 0
        """Position in the history of the first event that came after the tail began."""
        self.backoff = Backoff()
        self._client, self._layout = client, layout
        self._history, self._health = history, health
        self._resume = Script(__package__, "resume")
        self._last: bytes | None = None
        """The last entry that was read, or after which reading begins; None before `prepare`."""
        self.has_begun = False
        """Whether the history holds the stream's past; from then on it only grows."""
        self._woken = asyncio.Event()
        """Set once the past is loaded or never will be: `began` returns."""
        self.live = False
        """Whether this connection's last read worked; if not, the history may lag behind."""
        self._company = Company(LINGER)
        self._looked = 0.0
        """Monotonic time of the last proof that the stream did not begin anew."""

    async def prepare(self, client: Redis) -> None:
        """Fix the moment after which events are new; nothing is published before.

        Raises:
            RedisError: Redis cannot be reached, or refuses.
        """
        if self._last is None:
            newest = await commands.newest(client, self._layout.events, 1)
            if self._last is None:
                self._last = newest[0][0] if newest else b"0-0"

    async def began(self) -> None:
        """Wait until the history holds the stream's past, or the stream stops."""
        await self._woken.wait()

    def open(self) -> None:
        """Let followers wait for events."""
        self._history.open()
        if not self.has_begun:
            self._woken.clear()

    def close(self) -> None:
        """End the followers."""
        self._history.close()
        self._woken.set()

    async def session(self) -> None:
        """Read new entries until something fails; the next session goes on from there."""
        try:
            await self.prepare(self._client)
            if not self.has_begun:
                await self._preload()
            await self._look()
            self._health.succeeded(self.name)
            while True:
                await self._read()
                self.live = True
                self.backoff.reset()
                self._health.succeeded(self.name)
        finally:
            self.live = False

    async def _preload(self) -> None:
        last = self._last or b"0-0"
        entries = await commands.newest(self._client, self._layout.events, PRELOADED, end=last)
        if len(entries) == PRELOADED:
            made, sequence = mark_of(entries[-1][0])
            self._history.floor = (made, sequence - 1)
        for entry_id, fields in reversed(entries):
            self._history.append(fields, mark_of(entry_id))
        self.beginning = self._history.end
        self.has_begun = True
        self._woken.set()

    async def _read(self) -> None:
        last = self._last or b"0-0"
        entries = await commands.wait(self._client, self._layout.events, last, _PAGE, _BLOCK)
        for entry_id, fields in entries:
            self._history.append(fields, mark_of(entry_id))
        if entries:
            self._last = entries[-1][0]
            await self._company.wait(len(entries))
        elif time.monotonic() - self._looked > LOOK_EVERY:
            await self._look()

    async def _look(self) -> None:
        """Start over if the stream began anew."""
        self._looked = time.monotonic()
        last = self._last or b"0-0"
        if await self._resume(self._client, [self._layout.events], last) == last:
            return
        self._last = b"0-0"
        self._history.restart()
        self._health.began_anew(last)


class Reader:
    """Reads a stream's past: from the history as far as it reaches, beyond it from Redis."""

    def __init__(self, client: Redis, layout: StreamKeys, history: History, tail: Tail) -> None:
        self._client = client
        self._layout = layout
        self._history = history
        self._tail = tail
        # Many clients may come back at once after an outage; few connections serve them in turn.
        self._turns = asyncio.Semaphore(4)

    async def recent(self, types: Container[str], limit: int) -> list[Located]:
        """Return the latest events.

        Raises:
            StreamUnavailable: Redis cannot be reached.
        """
        if self._tail.live:
            events = self._history.recent_placed(types, limit)
            if len(events) == limit or self._history.floor == (0, 0):
                return events
        newest: list[Located] = []
        end, scanned = b"+", 0
        while len(newest) < limit and scanned < SCANNED:
            entries = await self._ask(
                commands.newest(self._client, self._layout.events, _PAGE, end=end)
            )
            newest += _events(entries, types)
            scanned += len(entries)
            if len(entries) < _PAGE:
                break
            end = b"(" + entries[-1][0]
        return newest[:limit][::-1]

    async def after(self, mark: StreamPosition, types: Container[str], limit: int) -> list[Located]:
        """Return the first events after a place.

        Raises:
            StreamUnavailable: Redis cannot be reached.
        """
        position = self._history.seek(mark) if self._tail.live else None
        if position is not None:
            return self._history.placed_after(position, types, limit)
        found: list[Located] = []
        while len(found) < limit:
            # However rare the types are, no bound here: a resuming reader must make progress.
            entries = await self._page_after(mark)
            found += _events(entries, types)
            if len(entries) < _PAGE:
                break
            mark = mark_of(entries[-1][0])
        return found[:limit]

    async def follow(
        self, position: int | None, types: Container[str]
    ) -> AsyncGenerator[Event, None]:
        """Yield events from a position or the tail's beginning on, as they come."""
        if position is None:
            await self._tail.began()
            position = self._tail.beginning
        async for event in self._history.follow(position, types):
            yield event

    async def follow_after(
        self, mark: StreamPosition, types: Container[str]
    ) -> AsyncGenerator[Event, None]:
        """Yield events from a place on, as they come.

        Raises:
            StreamUnavailable: Redis cannot be reached.
        """
        while (position := self._history.seek(mark) if self._tail.live else None) is None:
            entries = await self._page_after(mark)
            for _, event in _events(entries, types):
                yield event
            if self._history.closed:
                return
            if entries:
                mark = mark_of(entries[-1][0])
            else:
                await asyncio.sleep(0.02)
        async for event in self._history.follow(position, types):
            yield event

    async def place_or_time(self, event_id: str) -> StreamPosition:
        """Return the place of an event, or the one after which no event is older than it.

        A stream that ends before that time began anew, or its clock was set back. Then the result
        is the stream's beginning: a reader can recognise repeated events, but not missing ones.

        Raises:
            ValueError: ``event_id`` is not an event id.
            StreamUnavailable: Redis cannot be reached.
        """
        place = await self.place(event_id)
        if place is not None:
            return place
        entries = await self._ask(commands.newest(self._client, self._layout.events, 1))
        newest = mark_of(entries[0][0]) if entries else (0, 0)
        begin = since(event_id)
        return begin if begin <= newest else (0, 0)

    async def place(self, event_id: str) -> StreamPosition | None:
        """Return the place of an event, if Redis or the history still knows it.

        Raises:
            ValueError: ``event_id`` is not an event id.
            StreamUnavailable: Redis cannot be reached.
        """
        key = self._layout.published(milliseconds(event_id) // MINUTE)
        found = await self._ask(commands.place_of(self._client, key, event_id))
        return mark_of(found) if found else self._history.find(event_id)

    async def _page_after(self, mark: StreamPosition) -> list[RawEntry]:
        start = range_after(mark)
        return await self._ask(
            commands.oldest(self._client, self._layout.events, _PAGE, start=start)
        )

    async def _ask(self, question: Awaitable[T]) -> T:
        async with self._turns:
            try:
                return await question
            except FAILURES as error:
                raise StreamUnavailable(
                    f"the event stream cannot be read ({explain(error)}); "
                    "check that the Redis of CHARTER_EVENT_STREAM runs and takes the password"
                ) from error


def event_of(fields: Fields) -> Event | None:
    """Return an entry's event, or None; the groups make a dead letter of an entry without one."""
    try:
        return parse(fields).event
    except InvalidEvent as error:
        log.debug("entry is not an event", error=describe(error))
        return None


def _events(entries: list[RawEntry], types: Container[str]) -> list[Located]:
    events = ((mark_of(entry_id), event_of(fields)) for entry_id, fields in entries)
    return [(mark, e) for mark, e in events if e is not None and (not types or e.type in types)]
