"""Three instances, killed, stopped and paused at random under load: every number is exact."""

import asyncio
import json
import math
import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import redis

from chaos.account import KILL_BOUND, LAST_100_MS, Row
from chaos.wandering import Fleet
from support.instances import LEASE, closed, established, reaped, stored_events, variables
from support.polling import eventually
from support.redis import RedisServer
from support.service import ServiceProcess, service

INSTANCES = 3
ROBOTS = 30
INTERVAL = 2.0

MOMENT = 2.0
"""Seconds between a line and its event in the stream, at most, on a busy machine."""


class Disturbance(NamedTuple):
    """A disturbance of an instance, with its begin and end in Unix seconds."""

    instance: ServiceProcess
    begun: float
    ended: float


class Line(NamedTuple):
    """An event on an instance's stdout."""

    event: dict[str, Any]
    instance: ServiceProcess


async def instances_at_random(seconds: float, partitions: int = 1) -> Row:
    """Instances are killed, stopped and paused at random, while robots move between them."""
    seed = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)
    with TemporaryDirectory(prefix="charter") as directory, ExitStack() as stack:
        server = RedisServer(Path(directory))
        stack.callback(server.stop)
        server.start()
        chance = random.Random(seed)  # noqa: S311 - it is no secret
        run = Run(server, stack, chance, partitions)
        for _ in range(INSTANCES):
            await run.start()
        await run.play(seconds)
        return await run.finish(f"seed {seed}")


async def instances_with_partitions(seconds: float) -> Row:
    """The same with a partitioned stream."""
    return await instances_at_random(seconds, partitions=3)


class Run:
    """The instances, what happens to them, and the missions that they count.

    Args:
        server: The Redis that they share.
        stack: Ends the instances.
        chance: Decides what happens.
        partitions: Parts of the event stream.
    """

    def __init__(
        self, server: RedisServer, stack: ExitStack, chance: random.Random, partitions: int
    ) -> None:
        self._partitions = partitions
        self._server = server
        self._stack = stack
        self._chance = chance
        self._alive: list[ServiceProcess] = []
        self._all: list[ServiceProcess] = []
        self._killed: list[Disturbance] = []
        self._paused: list[Disturbance] = []
        self._stopped = 0
        self._posted = 0
        self._first_slot = 0
        self._slots: set[int] = set()
        self._wrong: list[str] = []

    async def start(self) -> None:
        """Start one more instance."""
        extra = variables(self._server.url) | {
            "CHARTER_AGGREGATION_INTERVAL": str(INTERVAL),
            "CHARTER_STREAM_PARTITIONS": str(self._partitions),
        }
        instance = await asyncio.to_thread(self._stack.enter_context, service(**extra))
        self._alive.append(instance)
        self._all.append(instance)

    async def play(self, seconds: float) -> None:
        """Disturb the instances under load, and see that they agree afterwards."""
        self._first_slot = int(time.time() / INTERVAL) + 1
        fleet = Fleet(ROBOTS, self._anyone, self._chance)
        async with fleet.moving():
            posting = asyncio.create_task(self._post(), name="posting")
            await self._torment(seconds)
            fleet.settled = True
            posting.cancel()
            await self._comes("robots stay away", lambda: fleet.online == fleet.names)
            everybody = [fleet.names] * INSTANCES
            await self._comes("presence differs", lambda: self._online() == everybody)
            await self._comes("not open what is online", lambda: self._open() == ROBOTS)
        nobody = [frozenset[str]()] * INSTANCES
        await self._comes("presence of robots that left", lambda: self._online() == nobody)
        await self._comes("pairs are not exact", lambda: self._open() == 0)
        await self._comes("missions do not count once", lambda: self._counted() == self._posted)
        await reaped(self._server, 6 * self._partitions)

    async def finish(self, note: str) -> Row:
        """Return the account of it."""
        self._check_ledger()
        dropped = sum(_account(instance)["dropped"] for instance in self._alive)
        for instance in self._alive:
            await asyncio.to_thread(instance.stop)
        self._check_slots()
        lines = [Line(event, each) for each in self._all for event in each.events()]
        delivered = [event["id"] for event in stored_events(self._server)]
        missing = [line for line in lines if line.event["id"] not in set(delivered)]
        lost = [line for line in missing if not self._reported_by_another(line)]
        self._check("an event came twice", len(delivered) == len(set(delivered)))
        self._check("closed other than once", set(closed(self._server).values()) == {1})
        loss = max(map(self._age, lost), default=0.0)
        self._check("lost more than 100 ms", loss <= KILL_BOUND)
        self._check("a closing line came twice", not self._closed_twice(lines))
        happened = (
            f"{len(self._killed)} killed, {self._stopped} stopped, {len(self._paused)} paused; "
            f"lost at most {loss * 1000:.0f} ms"
        )
        emitted = len({line.event["id"] for line in lines})
        return Row(
            f"{INSTANCES} instances"
            + (f", {self._partitions} partitions" * (self._partitions > 1)),
            *(emitted, len(set(delivered)), 0, dropped, len(lost)),
            *(established(self._server).total(), None, LAST_100_MS, "; ".join(self._wrong)),
            f"{happened}, {note}",
        )

    async def _comes(self, otherwise: str, condition: Callable[[], bool]) -> None:
        """Wait until something is as it should be, or note what it is otherwise."""
        try:
            await eventually(condition, otherwise, 30)
        except AssertionError:
            self._wrong.append(otherwise)

    def _check(self, otherwise: str, is_so: bool) -> None:
        if not is_so:
            self._wrong.append(otherwise)

    def _anyone(self) -> ServiceProcess:
        return self._chance.choice(self._alive)

    async def _torment(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5))
            await self._chance.choice([self._kill, self._pause, self._stop])()

    async def _post(self) -> None:
        """Add missions and note the slots that are taken, until cancelled."""
        with self._server.client() as client:
            while True:
                for _ in range(5):
                    entry = {"mission_id": f"m{self._posted}", "status": "completed"}
                    client.xadd("{charter}:missions", {"data": json.dumps(entry)})
                    self._posted += 1
                self._note_slots(client)
                await asyncio.sleep(0.05)

    def _note_slots(self, client: redis.Redis) -> None:
        """Note the slots of the job that are taken; Redis forgets them after a minute."""
        keys: Any = client.keys("{charter}:jobs:*")
        self._slots |= {int(key.rpartition(b":")[2]) for key in keys}

    async def _kill(self) -> None:
        victim = self._take()
        victim.process.kill()
        self._killed.append(Disturbance(victim, time.time(), time.time()))
        await self.start()

    async def _stop(self) -> None:
        self._stopped += 1
        self._take().process.terminate()
        await self.start()

    async def _pause(self) -> None:
        victim, begun = self._anyone(), time.time()
        victim.pause()
        await asyncio.sleep(self._chance.uniform(0.2, 5) * LEASE)
        victim.resume()
        self._paused.append(Disturbance(victim, begun, time.time()))

    def _take(self) -> ServiceProcess:
        victim = self._anyone()
        self._alive.remove(victim)
        return victim

    def _online(self) -> list[frozenset[str]]:
        shown = [instance.get("/api/telemetry/robots") for instance in self._alive]
        return [
            frozenset(r["robot_id"] for r in robots if r["status"] == "online") for robots in shown
        ]

    def _open(self) -> int:
        return established(self._server).total() - closed(self._server).total()

    def _counted(self) -> int:
        counted: int = self._alive[0].get("/api/metrics/missions")["entries_processed"]
        return counted

    def _check_ledger(self) -> None:
        """See that what each instance was given is published, waiting, or counted as dropped."""
        for account in map(_account, self._alive):
            given = account["accepted"] + account["recovered"]
            kept = account["published"] + account["queued"] + account["spooled"]
            self._check("a ledger does not add up", given == kept + account["dropped"])

    def _check_slots(self) -> None:
        """See that each slot was taken, and run once, unless its instance ended before that."""
        with self._server.client() as client:
            self._note_slots(client)
        runs = len(stored_events(self._server, "metrics.aggregation_started"))
        every = set(range(self._first_slot, max(self._slots) + 1))
        self._check("a slot was not run", self._slots >= every)
        ended = len(self._killed) + self._stopped
        self._check("slots ran other than once", 0 <= len(self._slots) - runs <= ended)

    def _reported_by_another(self, line: Line) -> bool:
        """Return whether a closing event is missing because another instance had closed before."""
        connection = line.event["payload"].get("connection_id")
        return connection in closed(self._server) and line.event["type"].endswith("_closed")

    def _age(self, line: Line) -> float:
        """Return the seconds from a line to the kill of its instance; endless where none came."""
        killed = [at for instance, at, _ in self._killed if instance is line.instance]
        return min((at - line.event["timestamp"] for at in killed), default=math.inf)

    def _closed_twice(self, lines: list[Line]) -> list[str]:
        """Return connections with two closing lines that no kill and no pause explains.

        What an instance wrote right before it was killed or slept may not have reached the stream,
        so that another one closes the same connection; the README says so.
        """
        closing: dict[str, list[Line]] = {}
        for line in lines:
            if line.event["type"] == "telemetry.connection_closed":
                closing.setdefault(line.event["payload"]["connection_id"], []).append(line)
        twice = {name: shown for name, shown in closing.items() if len(shown) > 1}
        disturbed = self._killed + self._paused
        return [n for n, shown in twice.items() if not any(_follows(t, disturbed) for t in shown)]


def _follows(line: Line, disturbances: list[Disturbance]) -> bool:
    """Return whether the line's instance was disturbed right after it wrote the line."""
    at = line.event["timestamp"]
    return any(
        begun - MOMENT <= at <= ended and instance is line.instance
        for instance, begun, ended in disturbances
    )


def _account(instance: ServiceProcess) -> dict[str, Any]:
    account: dict[str, Any] = instance.get("/readyz")["dependencies"]["event_stream"]
    return account
