"""A fleet that comes all at once, and the events that tell of it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from picows import WSError
from redis import Redis

from benchmarks.workloads.clients import Load, connect
from charter_otel.charter import EventType, decode

_AT_ONCE = 100
"""Handshakes that are under way together: the others wait, as robots with a back-off do."""
_STREAM = "{charter}:events"


class Came(NamedTuple):
    """The fleet once it is there."""

    robots: int
    seconds: float
    """Until the last one was accepted."""
    p99: float
    """Seconds of a handshake that one in a hundred exceeds, from its first packet on."""


class Fleet(Load):
    """Robots that come and go together."""

    async def come(self, robots: int, within: float) -> Came:
        """Connect robots, evenly over some seconds or as fast as the server takes them."""
        taken: list[float] = []
        begun = time.perf_counter()
        numbers = iter(range(robots))

        async def fill() -> None:
            for number in numbers:
                await asyncio.sleep(begun + number / robots * within - time.perf_counter())
                started = time.perf_counter()
                with suppress(OSError, WSError):
                    self._robots.append(await connect(self._url(number)))
                    taken.append(time.perf_counter() - started)

        await asyncio.gather(*(fill() for _ in range(_AT_ONCE)))
        seconds = time.perf_counter() - begun
        return Came(len(taken), seconds, sorted(taken)[len(taken) * 99 // 100])

    async def go(self) -> None:
        """Disconnect all robots."""
        await self.let_go()


def lost_or_twice(url: str, expected: int, within: float) -> int:
    """Return how many connections' events are missing in Redis or there twice.

    Args:
        url: The Redis.
        expected: Connections that were established.
        within: Seconds that the last events may take.
    """
    deadline = time.monotonic() + within
    with Redis.from_url(url) as client:
        while (wrong := _wrong(client.xrange(_STREAM), expected)) and time.monotonic() < deadline:
            time.sleep(0.1)
    return wrong


def _wrong(entries: Any, expected: int) -> int:
    events = [decode(fields[b"event"]) for _, fields in entries]
    kinds = (EventType.TELEMETRY_CONNECTION_ESTABLISHED, EventType.TELEMETRY_CONNECTION_CLOSED)
    told = Counter((e.type, e.payload["connection_id"]) for e in events if e.type in kinds)
    established = sum(kind == kinds[0] for kind, _ in told)
    closed = len(told) - established
    twice = sum(told.values()) - len(told)
    return abs(expected - established) + abs(expected // 2 - closed) + twice


@asynccontextmanager
async def fleet(address: str) -> AsyncIterator[Fleet]:
    """Yield a fleet that is not there yet."""
    running = Fleet(address)
    try:
        yield running
    finally:
        await running.let_go()
