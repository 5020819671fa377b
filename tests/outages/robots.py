"""Robots of two sites that come back when they are cut off, unless their site has no uplink."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

_EVERY = 5.0
"""Seconds between two readings,"""
_PAUSE = 2.0
"""and between two attempts to connect."""
_STORM = 200
"""Handshakes at the same time."""


class Fleet:
    """Robots in a thread of their own.

    Args:
        addresses: WebSocket addresses of the instances; robots go to one after the other.
        robots: How many there are, by site.
        battery: Returns the charge of a robot.
    """

    def __init__(
        self,
        addresses: Callable[[], list[str]],
        robots: dict[str, int],
        battery: Callable[[str], float] = lambda _: 80.0,
    ) -> None:
        self.away: set[str] = set()
        """Sites without an uplink."""
        self._addresses, self._robots, self._battery = addresses, robots, battery
        self._open: dict[str, dict[str, ClientConnection]] = {site: {} for site in robots}
        self._ended = asyncio.Event()
        self._loop = asyncio.new_event_loop()

    @contextmanager
    def living(self) -> Iterator[None]:
        """Let them live until the end of the block."""
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),))
        thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)
            thread.join()

    @property
    def connected(self) -> int:
        """Number of connected robots."""
        return sum(map(len, self._open.values()))

    def cut(self, site: str) -> None:
        """Break a site's connections without a close frame, and let none of them come back."""
        self.away.add(site)
        for connection in list(self._open[site].values()):
            self._loop.call_soon_threadsafe(connection.transport.abort)

    def mend(self, site: str) -> None:
        """Connect the site again."""
        self.away.discard(site)

    async def _live(self) -> None:
        turn = asyncio.Semaphore(_STORM)
        names = [(site, n) for site, robots in self._robots.items() for n in range(robots)]
        async with asyncio.TaskGroup() as group:
            for number, (site, n) in enumerate(names):
                group.create_task(self._robot(f"{site}_{n:03}", site, number, turn))

    async def _robot(self, name: str, site: str, number: int, turn: asyncio.Semaphore) -> None:
        while not self._ended.is_set():
            there = self._addresses()
            if there and site not in self.away:
                address = there[number % len(there)]
                url = f"{address}/api/telemetry/ws/{name}?label.site={site}"
                try:
                    async with turn:
                        robot = await connect(url, open_timeout=60, ping_interval=None, proxy=None)
                    async with robot:
                        self._open[site][name] = robot
                        await self._talk(robot, name)
                except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                    pass
                finally:
                    self._open[site].pop(name, None)
                number += 1  # the next one, where this one is gone
            await self._wait(_PAUSE)

    async def _talk(self, robot: ClientConnection, name: str) -> None:
        while not self._ended.is_set():
            reading = {"cpu_usage": 20, "memory_usage": 40, "network_latency_ms": 9}
            await robot.send(json.dumps({**reading, "battery_percentage": self._battery(name)}))
            await self._wait(_EVERY)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
