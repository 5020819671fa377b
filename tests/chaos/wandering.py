"""Robots that reconnect to any instance whenever their connection ends."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from support.robots import READING
from support.service import ServiceProcess


class Fleet:
    """The robots.

    Args:
        robots: How many there are.
        anyone: Gives an instance to connect to; it may be asleep.
        chance: Decides how long a robot stays, and how it goes.
    """

    def __init__(
        self, robots: int, anyone: Callable[[], ServiceProcess], chance: random.Random
    ) -> None:
        self.names = frozenset(f"robot_{number:03}" for number in range(robots))
        self.online: set[str] = set()
        """Robots that are connected, as they see it themselves."""
        self.settled = False
        """Whether robots stay where they are."""
        self._anyone = anyone
        self._chance = chance
        self._left: list[ClientConnection] = []

    @asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Connect all robots, which send and now and then move on."""
        tasks = [asyncio.create_task(self._live(name), name=name) for name in sorted(self.names)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(robot.close() for robot in self._left))

    async def _live(self, robot_id: str) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                await self._connect(robot_id, self._anyone())
            self.online.discard(robot_id)
            await asyncio.sleep(self._chance.uniform(0.05, 0.3))

    async def _connect(self, robot_id: str, instance: ServiceProcess) -> None:
        url = f"{instance.websocket}/api/telemetry/ws/{robot_id}?ack=1"
        robot = await connect(url, ping_interval=None, open_timeout=1, close_timeout=0.2)
        try:
            self.online.add(robot_id)
            until = time.monotonic() + self._chance.uniform(1, 6)
            while time.monotonic() < until or self.settled:
                await robot.send(READING)
                async with asyncio.timeout(1.5):
                    await robot.recv()
                await asyncio.sleep(0.05)
        finally:
            await self._chance.choice([self._close, self._abort, self._leave])(robot)

    async def _close(self, robot: ClientConnection) -> None:
        await robot.close()

    async def _abort(self, robot: ClientConnection) -> None:
        robot.transport.abort()

    async def _leave(self, robot: ClientConnection) -> None:
        """Keep the connection open, as a robot does that moves to another network."""
        self._left.append(robot)
