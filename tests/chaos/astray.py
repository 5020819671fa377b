"""One instance of two has a wall clock that is set back and ahead; robots move between them."""

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from chaos.account import EXACTLY_ONCE, Row, breaks, unpaired
from chaos.endurance.robots import Socket, connect
from support.instances import closed, established, registered, stored_events, variables
from support.polling import eventually
from support.redis import RedisServer
from support.service import ServiceProcess, service, service_with_clock

ROBOTS = 10
AHEAD, BACK = signal.SIGUSR1, signal.SIGUSR2
STEPS = ((AHEAD,), (BACK, BACK), (AHEAD,))
"""An hour ahead, an hour behind, and right again."""


async def clock_astray(seconds: float) -> Row:
    """After each step the newest reading and presence are the truth, wherever a robot is."""
    with TemporaryDirectory(prefix="charter") as directory, ExitStack() as stack:
        server = RedisServer(Path(directory))
        stack.callback(server.stop)
        server.start()
        settings = variables(server.url)
        both = [stack.enter_context(service_with_clock(**settings))]
        both.append(stack.enter_context(service(**settings)))
        play = _Play(both)
        for signals in STEPS:
            await play.step(signals, seconds / len(STEPS))
        await play.leave()
        await eventually(lambda: registered(server) == 0, "every connection is closed", 30)
        for instance in both:
            await asyncio.to_thread(instance.stop)
        return play.row(server)


class _Play:
    """The robots, the values that they sent, and what went wrong."""

    def __init__(self, both: list[ServiceProcess]) -> None:
        self._both = both
        self._robots: dict[str, Socket] = {}
        self._value = 0
        self._wrong: list[str] = []

    async def step(self, signals: tuple[signal.Signals, ...], seconds: float) -> None:
        """Set the clock while robots are connected, have them talk, move, and talk again."""
        for at in (0, 1, 0):
            await self._connect(self._both[at])
            await self._talk(f"before the step, at {at}")
        for number in signals:
            self._both[0].process.send_signal(number)
        await self._talk("where they were")
        for at in (1, 0):
            await self._connect(self._both[at])
            await self._talk(f"after a move to {at}")
        await asyncio.sleep(seconds)
        await self._talk("later")

    async def leave(self) -> None:
        """Disconnect all."""
        for robot in self._robots.values():
            robot.transport.close()
        await asyncio.gather(*(robot.ended.wait() for robot in self._robots.values()))

    def row(self, server: RedisServer) -> Row:
        """Return the account."""
        stored = [event["id"] for event in stored_events(server)]
        emitted = [event["id"] for each in self._both for event in each.events()]
        opened, ended = established(server), closed(server)
        lost = len(set(emitted) - set(stored))
        checks = {
            "lost": lost > 0,
            "an event came twice": len(stored) != len(set(stored)),
            unpaired(opened, ended): opened != ended,
        }
        return Row(
            *("one clock astray", len(emitted), len(set(stored)), 0, 0, lost, opened.total(), None),
            *(EXACTLY_ONCE, breaks(self._wrong, checks)),
        )

    async def _connect(self, instance: ServiceProcess) -> None:
        for number in range(ROBOTS):
            name = f"robot_{number}"
            robot = await connect(instance.websocket, name)
            assert robot is not None, f"{name} was refused"
            self._robots[name] = robot

    async def _talk(self, when: str) -> None:
        """Send a value from each robot, and see that both instances come to answer it."""
        self._value += 1
        for robot in self._robots.values():
            robot.read(self._value)
        for instance in self._both:
            async with httpx.AsyncClient(base_url=instance.http, timeout=10) as client:
                for _ in range(200):
                    if await self._is_known(client):
                        break
                    await asyncio.sleep(0.05)
                else:
                    self._wrong.append(f"an old reading or presence, {when}")

    async def _is_known(self, client: httpx.AsyncClient) -> bool:
        answer: list[dict[str, Any]] = (await client.get("/api/telemetry/robots")).json()
        if [each["status"] for each in answer] != ["online"] * ROBOTS:
            return False
        for name in self._robots:
            reading = (await client.get(f"/api/telemetry/robots/{name}/metrics")).json()
            if reading.get("cpu_usage") != self._value:
                return False
        return True
