"""The tail: one reader in each process feeds the history of the stream in Redis."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from weakref import WeakSet

from redis.asyncio import Redis

from charter_otel.aio import Backoff
from charter_otel.charter import Event
from charter_otel.redis import commands
from charter_otel.redis.script import Script
from charter_otel.streams.batch_wait import BatchWait
from charter_otel.streams.history import History, StreamPosition
from charter_otel.streams.redis.health import RedisHealth
from charter_otel.streams.redis.layout import StreamKeys, mark_of

PRELOADED = 1000
"""Past events that the history begins with."""

LOOK_EVERY = 1.0
"""Seconds of silence after which the tail makes sure that the stream is still the same."""

LINGER = 0.025
"""Seconds for which the next read waits for events that probably come."""

UNFOLLOWED = 10.0
"""Seconds without a follower after which the tail pauses; clients often come back sooner."""

_PAGE = 500
_BLOCK = 250


class Tail:
    """Feeds the history with the stream's new events, over one connection.

    It reads on from the entry that it read last. A stream that neither has that entry any more nor
    begins after it began anew: it is read from its beginning, and the history starts over.

    Where nobody follows, it pauses: it empties the history, and only makes sure that the stream is
    still the same. For the next follower it begins as at the start.
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
        self._batch_wait = BatchWait(LINGER)
        self._followers: WeakSet[AsyncGenerator[Event, None]] = WeakSet()
        self._followed_at = time.monotonic()
        """Monotonic time at which somebody last followed."""
        self._paused = False
        self._called = asyncio.Event()
        """Set to end the pause."""
        self._looked = 0.0
        """Monotonic time of the last proof that the stream did not begin anew."""

    async def prepare(self, client: Redis) -> None:
        """Fix the moment after which events are new; nothing is published before.

        Raises:
            RedisError: Redis cannot be reached, or refuses.
        """
        if self._last is None:
            last = await commands.last_id(client, self._layout.events)
            self._last = self._last or last

    async def began(self) -> None:
        """Wait until the history holds the stream's past, or the stream stops."""
        await self._woken.wait()

    def open(self) -> None:
        """Let followers wait for events."""
        self._history.open()
        self._followed_at = time.monotonic()
        if not self.has_begun:
            self._woken.clear()

    def close(self) -> None:
        """End the followers."""
        self._history.close()
        self._woken.set()

    def follow(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """Read for whoever holds these events, and return them."""
        self._followers.add(events)
        return events

    def wake(self) -> None:
        """End a pause: what this process publishes from now on is read."""
        if self._paused:
            self._paused = False
            self._last = None
            self._followed_at = time.monotonic()
            self._called.set()

    def unread(self, mark: StreamPosition) -> int:
        """Return how many events after a mark are known; the tail does not pause meanwhile."""
        self.wake()
        self._followed_at = time.monotonic()
        position = self._history.seek(mark)
        return self._history.end - (self._history.start if position is None else position)

    async def session(self) -> None:
        """Read new entries until something fails; the next session goes on from there."""
        try:
            while True:
                await self.prepare(self._client)
                if not self._paused:
                    await self._read_on()
                await self._look()
                self._health.succeeded(self.name)
                await self._rest()
        finally:
            self.live = False

    async def _read_on(self) -> None:
        """Read until nobody has followed for a while."""
        if not self.has_begun:
            await self._preload()
        await self._look()
        self._health.succeeded(self.name)
        while not self._is_left_alone():
            await self._read()
            self.live = True
            self.backoff.reset()
            self._health.succeeded(self.name)
        self._paused, self.live, self.has_begun = True, False, False
        self._called.clear()
        self._woken.clear()
        self._history.restart()

    async def _rest(self) -> None:
        """Wait for a follower, until it is time to look at the stream again."""
        newest = await commands.newest(self._client, self._layout.events, 1)
        if newest and self._paused:
            self._last = newest[0][0]
        self.backoff.reset()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._called.wait()

    def _is_left_alone(self) -> bool:
        now = time.monotonic()
        if len(self._followers):
            self._followed_at = now
        return now - self._followed_at > UNFOLLOWED

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
            await self._batch_wait.wait(len(entries))
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
