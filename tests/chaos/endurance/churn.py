"""Connections that come and go, by the hour: nothing is lost, and nothing stays behind."""

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos import audited
from chaos.endurance import robots
from chaos.endurance.processes import open_files, resident
from support.instances import connections, registered, stored_events
from support.polling import eventually
from support.redis import RedisServer
from support.service import ServiceProcess, service

ROBOTS = 5_000
"""Names that come again and again; far more than are connected at once."""
LONGEST_STAY = 2.0
"""Seconds for which a robot stays at most."""


class Churn:
    """The robots of a run, and what became of their connections."""

    def __init__(self, running: ServiceProcess) -> None:
        self.outcomes: Counter[str] = Counter()
        self.figures: list[tuple[float, int]] = []
        """After each tenth of the connections, the service's memory in MiB and open files."""
        self._running = running
        self._chance = random.Random(7)  # noqa: S311 - it is no secret

    async def come_and_go(self, count: int, seconds: float) -> None:
        """Make so many connections, evenly over the time or as fast as they can be made."""
        begun, turns = time.monotonic(), asyncio.Semaphore(300)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(begun + seconds * number / count - time.monotonic())
                await turns.acquire()
                visit = group.create_task(self._visit(f"robot_{number % ROBOTS:04}"))
                visit.add_done_callback(lambda _: turns.release())
                if (number + 1) % (count // 10) == 0:
                    pid = self._running.process.pid
                    self.figures.append((resident(pid), open_files(pid)))

    async def _visit(self, name: str) -> None:
        try:
            robot = await robots.connect(self._running.websocket, name)
            if robot is None:
                self.outcomes["refused"] += 1
                return
            robot.read()
            await asyncio.sleep(self._chance.uniform(0, LONGEST_STAY))
            await robot.leave(self._chance)
            self.outcomes["connected"] += 1
        except (OSError, TimeoutError) as error:
            self.outcomes[type(error).__name__] += 1


async def churn() -> list[str]:
    """Play it, and return what came of it."""
    count = int(os.environ.get("CHURN_CONNECTIONS", "100000"))
    seconds = float(os.environ.get("CHURN_SECONDS", "3600"))
    with TemporaryDirectory(prefix="charter") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            variables = {"CHARTER_EVENT_STREAM": server.url, "CHARTER_CONSUMERS": "audit"}
            state = Path(directory) / "state"
            with service(**variables, CHARTER_STATE_DIR=str(state)) as running:
                return await _measure(server, running, state / "audit", count, seconds)
        finally:
            server.stop()


async def _measure(
    server: RedisServer, running: ServiceProcess, log: Path, count: int, seconds: float
) -> list[str]:
    files, begun = open_files(running.process.pid), time.monotonic()
    played = Churn(running)
    await played.come_and_go(count, seconds)
    took = time.monotonic() - begun
    await eventually(lambda: registered(server) == 0, "every connection is closed", 120)
    left = open_files(running.process.pid) - files
    await asyncio.to_thread(audited.wait, server, log, 600)
    account = running.get("/readyz")["dependencies"]["event_stream"]
    code = await asyncio.to_thread(running.stop)
    events = stored_events(server)
    opened, closed = (connections(events, change) for change in ("established", "closed"))
    (first, _), (last, _) = played.figures[0], played.figures[-1]
    verified = audited.wrong(server, log) or "audit verified"
    return [
        f"{count} connections in {took:.0f} s: {dict(played.outcomes)}",
        f"established {opened.total()}, closed once each: {opened == closed}",
        f"dropped {account['dropped']}, audit rows {audited.rows(log)}, {verified}",
        f"memory {first:.0f} MiB after a tenth, {last:.0f} MiB at the end; open files left: {left}",
        f"exit code {code}",
    ]
