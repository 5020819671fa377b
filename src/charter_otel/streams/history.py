"""The latest events of a stream, in a ring: the source of `read` and `follow` without I/O."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Container, Mapping

import structlog

from charter_otel.charter import Event

log = structlog.get_logger(__name__)

Raw = Mapping[bytes, bytes]
"""An event as its stream stores it."""

StreamPosition = tuple[int, int]
"""An event's place in its stream; grows from event to event."""

Located = tuple[StreamPosition, Event]
"""An event and its place."""

CAPACITY = 10_000
"""Events that a history holds by default."""


class History:
    """A bounded ring of a stream's latest events.

    A *position* counts the events that were ever appended; the ring holds those from `start` to
    before `end`. A *mark* is the stream's own notation for an event's place. A follower keeps
    only a position, so a slow one holds no memory. When the ring overtakes it, it is moved on, and
    the missed events are counted and logged.

    Args:
        capacity: Events that the ring holds.
        decode: Makes an event from a raw entry when it is first requested; None if the entry is
            not an event.
    """

    def __init__(
        self, capacity: int = CAPACITY, decode: Callable[[Raw], Event | None] = lambda _: None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a history holds at least one event, not {capacity}")
        self.start = self.end = 0
        """Position of the oldest event that is held, and of the next one that will be appended."""
        self.floor: StreamPosition = (0, 0)
        """All events after this mark, and up to the last one appended, are in the ring."""
        self.missed = 0
        """Events that slow followers missed."""
        self._capacity = capacity
        self._decode = decode
        self._ring: list[tuple[Event | Raw | None, StreamPosition]] = []
        """The held events; an event lies at its position modulo the capacity."""
        self._positions: dict[str, int] = {}
        """The positions of the events that were appended decoded, by their ids."""
        self._grown = asyncio.Event()
        """Set by each append; a follower that has caught up clears it and waits."""
        self._closed = False
        """Whether followers end once they have caught up."""

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._positions

    def append(self, event: Event | Raw, mark: StreamPosition | None = None) -> None:
        """Add the newest event, and wake the followers.

        Args:
            event: The event; one that is appended raw cannot be found by its id.
            mark: Its place in the stream; by default a running number.
        """
        entry = (event, mark or (self.end + 1, 0))
        if self.end - self.start == self._capacity:
            self._forget_oldest()
        at = self.end % self._capacity
        if at == len(self._ring):
            self._ring.append(entry)
        else:
            self._ring[at] = entry
        if isinstance(event, Event):
            self._positions[event.id] = self.end
        self.end += 1
        self._grown.set()

    def restart(self) -> None:
        """Forget all events, because their stream began anew; followers go on with it."""
        # Positions go on, so that no follower has missed anything.
        self._ring = [(None, (0, 0))] * (self.end % self._capacity)
        self._positions.clear()
        self.start = self.end
        self.floor = (0, 0)

    def find(self, event_id: str) -> StreamPosition | None:
        """Return the place of an event that the ring holds, appended raw or not; the newest first.

        A raw one is recognised by its bytes: a returning client may ask for any of them.
        """
        if event_id in self._positions:
            return self.mark_of(event_id)
        wanted = event_id.encode()
        for position in range(self.end - 1, self.start - 1, -1):
            event, mark = self._ring[position % self._capacity]
            if isinstance(event, Event):
                if event.id == event_id:
                    return mark
            elif event and any(wanted in value for value in event.values()):
                found = self._event(position)
                if found is not None and found.id == event_id:
                    return mark
        return None

    def recent(self, types: Container[str], limit: int) -> list[Event]:
        """Return the latest events of the types (empty: all), oldest first."""
        return [event for _, event in self.recent_placed(types, limit)]

    def recent_placed(self, types: Container[str], limit: int) -> list[Located]:
        """Return the latest events of the types (empty: all) with their places, oldest first."""
        found: list[Located] = []
        position = self.end
        while position > self.start and len(found) < limit:
            position -= 1
            event = self._event(position)
            if event is not None and (not types or event.type in types):
                found.append((self.mark_at(position), event))
        return found[::-1]

    def after(self, position: int, types: Container[str], limit: int) -> list[Event]:
        """Return the first events of the types from a position on."""
        return [event for _, event in self.placed_after(position, types, limit)]

    def placed_after(self, position: int, types: Container[str], limit: int) -> list[Located]:
        """Return the first events of the types from a position on, with their places."""
        found: list[Located] = []
        for at in range(max(position, self.start), self.end):
            if len(found) == limit:
                break
            event = self._event(at)
            if event is not None and (not types or event.type in types):
                found.append((self.mark_at(at), event))
        return found

    def mark_of(self, event_id: str) -> StreamPosition | None:
        """Return the place of an event that the ring holds."""
        position = self._positions.get(event_id)
        return None if position is None else self.mark_at(position)

    def mark_at(self, position: int) -> StreamPosition:
        """Return the place of the event at a position that the ring holds."""
        return self._ring[position % self._capacity][1]

    def seek(self, mark: StreamPosition) -> int | None:
        """Return the position after a mark, or None if the ring may lack an event in between."""
        if mark < self.floor:
            return None
        held = range(self.start, self.end)
        return self.start + bisect_right(held, mark, key=self.mark_at)

    async def follow(
        self, position: int, types: Container[str] = frozenset()
    ) -> AsyncGenerator[Event, None]:
        """Yield the events from a position on as they come, until the history is closed."""
        while True:
            while position < self.end:
                position = self._catch_up(position)
                event = self._event(position)
                position += 1
                if event is not None and (not types or event.type in types):
                    yield event
            if self._closed:
                return
            self._grown.clear()
            await self._grown.wait()

    @property
    def closed(self) -> bool:
        """Whether no more events will come."""
        return self._closed

    def open(self) -> None:
        """Let followers wait for events, after a `close` too."""
        self._closed = False

    def close(self) -> None:
        """End the followers, once they have seen the last event."""
        self._closed = True
        self._grown.set()

    def _catch_up(self, position: int) -> int:
        if position >= self.start:
            return position
        missed = self.start - position
        self.missed += missed
        log.warning("follower too slow, events skipped", missed=missed)
        return self.start

    def _forget_oldest(self) -> None:
        event, mark = self._ring[self.start % self._capacity]
        if isinstance(event, Event) and self._positions.get(event.id) == self.start:
            del self._positions[event.id]
        self.floor = mark
        self.start += 1

    def _event(self, position: int) -> Event | None:
        at = position % self._capacity
        event, mark = self._ring[at]
        if event is not None and not isinstance(event, Event):
            event = self._decode(event)
            self._ring[at] = (event, mark)
        return event
