"""Pings that detect dead robots: one timer for all connections."""

import asyncio
import weakref
from collections import deque
from typing import Protocol

INTERVAL = 20.0
"""Seconds between two pings of a connection, and the time limit of each answer."""


class Pinged(Protocol):
    """A connection that is pinged."""

    def ping(self) -> bool:
        """Send a ping; return False if the connection wants no more of them."""


class Keepalive:
    """Pings each connection every `INTERVAL` seconds.

    As all wait equally long, they form a queue, and one timer waits for the first of them.
    """

    def __init__(self) -> None:
        self._line: deque[tuple[float, weakref.ref[Pinged]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Pinged) -> None:
        """Add a connection."""
        loop = asyncio.get_running_loop()
        self._line.append((loop.time() + INTERVAL, weakref.ref(connection)))
        if self._timer is None:
            self._wait(loop)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_at(self._line[0][0], self._ping, loop) if self._line else None

    def _ping(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._line and self._line[0][0] <= now:
            _, reference = self._line.popleft()
            connection = reference()
            if connection is not None and connection.ping():
                self._line.append((now + INTERVAL, reference))
        self._wait(loop)
