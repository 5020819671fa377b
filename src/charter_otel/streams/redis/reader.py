"""Reading outside groups: from the history as far as it reaches, beyond it from Redis."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Container
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from charter_otel.aio import describe
from charter_otel.charter import Event, InvalidEvent
from charter_otel.charter.ids import MINUTE, milliseconds
from charter_otel.redis import commands
from charter_otel.redis.commands import RawEntry
from charter_otel.redis.errors import FAILURES, explain
from charter_otel.streams.history import History, Located, StreamPosition
from charter_otel.streams.redis.layout import Fields, StreamKeys, mark_of, parse, range_after, since
from charter_otel.streams.redis.tail import Tail
from charter_otel.streams.types import StreamUnavailable

T = TypeVar("T")

log = structlog.get_logger(__name__)

SCANNED = 20_000
"""Entries that are searched for the latest events of the wanted types."""

_PAGE = 500


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

    def follow(self, types: Container[str]) -> AsyncGenerator[Event, None]:
        """Return events from now on, as they come."""
        self._tail.wake()
        now = self._history.end if self._tail.has_begun else None
        return self._tail.follow(self._follow(now, types))

    def follow_after(
        self, mark: StreamPosition, types: Container[str]
    ) -> AsyncGenerator[Event, None]:
        """Return events from a place on, as they come.

        Raises:
            StreamUnavailable: Redis cannot be reached (from the iterator).
        """
        self._tail.wake()
        return self._tail.follow(self._follow_after(mark, types))

    async def _follow(
        self, position: int | None, types: Container[str]
    ) -> AsyncGenerator[Event, None]:
        if position is None:
            await self._tail.began()
            position = self._tail.beginning
        async for event in self._history.follow(position, types):
            yield event

    async def _follow_after(
        self, mark: StreamPosition, types: Container[str]
    ) -> AsyncGenerator[Event, None]:
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
        last = await self._ask(commands.last_id(self._client, self._layout.events))
        begin = since(event_id)
        return begin if begin <= mark_of(last) else (0, 0)

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
