"""A deployment: each of three instances is replaced by a new one while robots send readings."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.error import HTTPError

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from support.instances import closed, established, stored_events, variables
from support.polling import eventually, wait_until
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess, service

ROBOTS = 60
SLICES = 1.0
"""Seconds over which an instance releases its robots."""


@dataclass
class Robot:
    """A robot that sends a reading again until it is acknowledged, wherever it connects."""

    robot_id: str
    instances: list[ServiceProcess]
    acknowledged: float = 0.0
    """Time of the last reading that was."""
    comebacks: int = 0

    async def live(self, stop: asyncio.Event) -> None:
        """Send readings until the stop, over one connection after another."""
        while not stop.is_set():
            instance = self.instances[self.comebacks % len(self.instances)]
            url = f"{instance.websocket}/api/telemetry/ws/{self.robot_id}?ack=1"
            try:
                async with connect(url, ping_interval=None, close_timeout=0.5) as connection:
                    await self._send(connection, stop)
            except (OSError, ConnectionClosed, InvalidHandshake):
                self.comebacks += 1
                await asyncio.sleep(0.05)

    async def _send(self, connection: ClientConnection, stop: asyncio.Event) -> None:
        while not stop.is_set():
            now = time.time()
            await connection.send(json.dumps({**json.loads(READING), "timestamp": now}))
            assert json.loads(await connection.recv())["type"] == "ack"
            self.acknowledged = now
            await asyncio.sleep(0.1)


async def test_a_rolling_restart_loses_nothing_that_was_acknowledged(server: RedisServer) -> None:
    """Each robot's last acknowledged reading is live everywhere, and each connection is closed."""
    settings = variables(server.url) | {"CHARTER_DRAIN_SECONDS": str(SLICES)}
    with ExitStack() as processes:

        def start() -> ServiceProcess:
            return processes.enter_context(service(**settings))

        instances = [await asyncio.to_thread(start) for _ in range(3)]
        robots = [
            Robot(f"robot_{number:03}", instances, comebacks=number) for number in range(ROBOTS)
        ]
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            living = [asyncio.create_task(robot.live(stop)) for robot in robots]
            stack.callback(lambda: [task.cancel() for task in living])
            await eventually(lambda: all(robot.acknowledged for robot in robots), "all talk")
            for index in range(3):
                await _replace(instances, index, start)
            stop.set()
            await asyncio.wait_for(asyncio.gather(*living), 20)
        for robot in robots:
            for instance in instances:
                known = partial(_knows, instance, robot)
                await asyncio.to_thread(wait_until, known, f"{robot} is known")
        await eventually(lambda: closed(server) == established(server), "each is closed once")
    closings = stored_events(server, "telemetry.connection_closed")
    reasons = {event["payload"]["reason"] for event in closings}
    assert reasons <= {"server_shutdown", "client_disconnect", "superseded"}


def _knows(instance: ServiceProcess, robot: Robot) -> bool:
    """Return whether an instance shows a robot's last acknowledged reading, or a newer one."""
    try:
        shown = instance.get(f"/api/telemetry/robots/{robot.robot_id}/metrics")
    except HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        return False
    return bool(shown["updated_at"] >= robot.acknowledged)


async def _replace(
    instances: list[ServiceProcess], index: int, start: Callable[[], ServiceProcess]
) -> None:
    """Start a new instance, point robots to it, and end the old one as Kubernetes does."""
    old, instances[index] = instances[index], await asyncio.to_thread(start)
    begun = time.monotonic()
    assert await asyncio.to_thread(old.stop) == 0
    assert time.monotonic() - begun >= SLICES
