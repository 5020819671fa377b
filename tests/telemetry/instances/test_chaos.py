"""Three instances under load, killed and paused at random: every number comes out exact."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest
import redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from support.instances import LEASE, closed, established, stored_events, variables
from support.polling import eventually
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess, service

SECONDS = float(os.environ.get("CHARTER_CHAOS_SECONDS", "20"))
"""How long instances are killed and paused; `make chaos` takes longer."""

SEED = int(os.environ.get("CHARTER_CHAOS_SEED", str(time.time_ns())))
CHANCE = random.Random(SEED)  # noqa: S311 - what happens to the instances is no secret

INSTANCES = 3
ROBOTS = 30
INTERVAL = 2.0

UNPUBLISHED = 2.0
"""Seconds between a line and its event in the stream, at most, on a busy machine."""

pytestmark = [
    pytest.mark.timeout(SECONDS * 3 + 120),
    pytest.mark.skipif(
        "CHARTER_CHAOS_SECONDS" not in os.environ,
        reason="plays at random for as long as CHARTER_CHAOS_SECONDS says; `make chaos` runs it",
    ),
]


class Fleet:
    """Robots that reconnect to any instance whenever their connection ends."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self.online: dict[str, str] = {}
        """The instance that each robot is connected to."""
        self._left: list[ClientConnection] = []

    @asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Have all robots connected, sending and now and then moving on."""
        tasks = [asyncio.create_task(self._live(f"robot_{n:03}")) for n in range(ROBOTS)]
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
                await self._connect(robot_id, self._run.anyone())
            self.online.pop(robot_id, None)
            await asyncio.sleep(CHANCE.uniform(0.05, 0.3))

    async def _connect(self, robot_id: str, instance: ServiceProcess) -> None:
        url = f"{instance.websocket}/api/telemetry/ws/{robot_id}?ack=1"
        robot = await connect(url, ping_interval=None, open_timeout=1, close_timeout=0.2)
        try:
            self.online[robot_id] = instance.http
            until = time.monotonic() + CHANCE.uniform(1, 6)
            while time.monotonic() < until or self._run.calm:
                await robot.send(READING)
                async with asyncio.timeout(1.5):
                    await robot.recv()
                await asyncio.sleep(0.05)
        finally:
            await CHANCE.choice([self._close, self._abort, self._leave])(robot)

    async def _close(self, robot: ClientConnection) -> None:
        await robot.close()

    async def _abort(self, robot: ClientConnection) -> None:
        robot.transport.abort()

    async def _leave(self, robot: ClientConnection) -> None:
        """Keep the connection open, as a robot does that moves to another network."""
        self._left.append(robot)


class Disturbance(NamedTuple):
    """What happened to an instance, and when it began and ended, in Unix seconds."""

    instance: ServiceProcess
    begun: float
    ended: float


class Run:
    """The instances, what happens to them, and the missions that are posted to them."""

    def __init__(self, server: RedisServer, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack
        self.alive: list[ServiceProcess] = []
        self.lines: list[ServiceProcess] = []
        """All instances that ever ran."""
        self.disturbed: list[Disturbance] = []
        """Instances that were killed or paused."""
        self.faults: Counter[str] = Counter()
        self.posted = 0
        self.slots: set[int] = set()
        """Slots of the job that an instance has taken."""
        self.calm = False
        """Whether the faults are over, so that robots stay where they are."""

    async def start(self) -> None:
        """Start one more instance."""
        extra = variables(self._server.url) | {"CHARTER_AGGREGATION_INTERVAL": str(INTERVAL)}
        instance = await asyncio.to_thread(self._stack.enter_context, service(**extra))
        self.alive.append(instance)
        self.lines.append(instance)

    def anyone(self) -> ServiceProcess:
        """Give an instance; it may be asleep."""
        return CHANCE.choice(self.alive)

    async def torment(self) -> None:
        """Kill, pause or stop one instance after the other."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(CHANCE.uniform(0.5, 1.5))
            await CHANCE.choice([self._kill, self._pause, self._stop])()
        self.calm = True

    async def post(self) -> None:
        """Add missions and note the slots that are taken, until cancelled."""
        with self._server.client() as client:
            while True:
                for _ in range(5):
                    entry = {"mission_id": f"m{self.posted}", "status": "completed"}
                    client.xadd("{charter}:missions", {"data": json.dumps(entry)})
                    self.posted += 1
                self.note_slots(client)
                await asyncio.sleep(0.05)

    def note_slots(self, client: redis.Redis) -> None:
        """Note the slots that are taken; Redis forgets them after a minute."""
        keys: Any = client.keys("{charter}:jobs:*")
        self.slots |= {int(key.rpartition(b":")[2]) for key in keys}

    async def _kill(self) -> None:
        self.faults["killed"] += 1
        victim = self._take()
        victim.process.kill()
        self.disturbed.append(Disturbance(victim, time.time(), time.time()))
        await self.start()

    async def _stop(self) -> None:
        self.faults["stopped"] += 1
        victim = self._take()
        victim.process.terminate()
        await self.start()

    async def _pause(self) -> None:
        self.faults["paused"] += 1
        victim, begun = self.anyone(), time.time()
        victim.pause()
        await asyncio.sleep(CHANCE.uniform(0.2, 5) * LEASE)
        victim.resume()
        self.disturbed.append(Disturbance(victim, begun, time.time()))

    def _take(self) -> ServiceProcess:
        victim = self.anyone()
        self.alive.remove(victim)
        return victim


async def test_every_number_comes_out_exact(server: RedisServer) -> None:
    """Connections are closed once, slots run once, missions count once, presence is the truth."""
    with ExitStack() as stack:
        run = Run(server, stack)
        for _ in range(INSTANCES):
            await run.start()
        fleet = Fleet(run)
        async with fleet.moving():
            posting = asyncio.create_task(run.post())
            await run.torment()
            posting.cancel()
            await eventually(lambda: len(fleet.online) == ROBOTS, "all robots are back", 20)
            open_now = {f"robot_{n:03}" for n in range(ROBOTS)}
            await eventually(lambda: _online(run) == [open_now] * INSTANCES, "one presence", 20)
            await eventually(lambda: _open(server) == ROBOTS, "what is open is online", 30)
        await eventually(lambda: _online(run) == [set()] * INSTANCES, "all are offline", 20)
        await eventually(lambda: closed(server) == established(server), "pairs are exact", 30)
        await eventually(lambda: _counted(run) == run.posted, "missions are counted", 20)
        await asyncio.sleep(3 * LEASE)
        assert closed(server) == established(server)
        assert set(closed(server).values()) == {1}
        _check_slots(run, server)
        _check_lines(run)
        print(SEED, dict(run.faults), established(server).total(), run.posted, _reasons(server))  # noqa: T201


def _online(run: Run) -> list[set[str]]:
    told = [instance.get("/api/telemetry/robots") for instance in run.alive]
    return [{r["robot_id"] for r in robots if r["status"] == "online"} for robots in told]


def _open(server: RedisServer) -> int:
    return established(server).total() - closed(server).total()


def _counted(run: Run) -> Any:
    return run.anyone().get("/api/metrics/missions")["entries_processed"]


def _check_slots(run: Run, server: RedisServer) -> None:
    """Each slot was taken, and run once, save where its instance ended before it said so."""
    runs = len(stored_events(server, "metrics.aggregation_started"))
    with server.client() as client:
        run.note_slots(client)
    assert sorted(run.slots) == list(range(min(run.slots), max(run.slots) + 1))
    ended = run.faults["killed"] + run.faults["stopped"]
    assert len(run.slots) - ended <= runs <= len(run.slots)


def _check_lines(run: Run) -> None:
    """No closing line is there twice either, on all instances together.

    What an instance wrote in the last moment before it was killed or slept may not have reached the
    stream, so that another one closes the same connection; the README says so.
    """
    told: dict[str, list[tuple[float, ServiceProcess]]] = {}
    for instance in run.lines:
        for event in instance.events("telemetry.connection_closed"):
            entry = (event["timestamp"], instance)
            told.setdefault(event["payload"]["connection_id"], []).append(entry)
    twice = {connection: lines for connection, lines in told.items() if len(lines) > 1}
    assert [c for c, lines in twice.items() if not any(_unpublished(run, *x) for x in lines)] == []


def _unpublished(run: Run, at: float, instance: ServiceProcess) -> bool:
    """Tell whether the instance was disturbed right after it wrote the line."""
    return any(
        begun - UNPUBLISHED <= at <= ended and instance is disturbed
        for disturbed, begun, ended in run.disturbed
    )


def _reasons(server: RedisServer) -> dict[str, int]:
    events = stored_events(server, "telemetry.connection_closed")
    return dict(Counter(event["payload"]["reason"] for event in events))
