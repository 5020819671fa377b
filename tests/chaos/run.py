"""One run of a fault: a Redis, a process that emits, and the account of its events."""

import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from streams.proxy import Proxy
from support.polling import eventually
from support.redis import RedisServer

EXACTLY_ONCE = "exactly once"
COUNTED = "once or counted"
LAST_100_MS = "all but 100 ms"

KILL_BOUND = 0.1
"""Seconds before a kill of which emitted events may be lost."""

STOP_WITHIN = 5.0
"""Seconds that a process may take to stop, whatever the fault."""


class Row(NamedTuple):
    """What became of the events of a run."""

    fault: str
    emitted: int
    delivered: int
    replayed: int
    dropped: int
    lost: int
    promise: str
    """The delivery class."""
    broken: str
    """Why the class is broken, or empty."""
    note: str = ""


class Life:
    """One process from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.emitted: dict[str, int] = {}
        """Event id → monotonic nanoseconds."""
        self.state: dict[str, Any] = {}
        self.ended = False
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            kind, _, text = line.decode().rstrip("\n").partition(" ")
            if kind == "emitted":
                event_id, _, at = text.partition(" ")
                self.emitted[event_id] = int(at)
            elif kind == "state":
                self.state = json.loads(text)
            elif kind == "end":
                self.ended = True


class Run:
    """A Redis, and a process that emits through it, one life after the other.

    Args:
        directory: Where Redis and the spool keep their files.
        rate: Events a second.
        capacity: Events that the process keeps in memory.
        environment: Variables for the process.
        server: The Redis, where it is not one of the run's own.
        url: The URL by which the process knows it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rate: float = 200,
        capacity: int = 10_000,
        environment: dict[str, str] | None = None,
        server: RedisServer | None = None,
        url: str | None = None,
    ) -> None:
        (directory / "redis").mkdir()
        self.server = server or RedisServer(directory / "redis")
        self.url = url or self.server.url
        self.killed_at: int | None = None
        self.loss = 0.0
        """Seconds before a kill, of the earliest event that it lost."""
        self._state = directory / "state"
        self._rate = rate
        self._capacity = capacity
        self._environment = environment or {}
        self._lives: list[Life] = []
        self._kills: list[tuple[Life, int]] = []

    @property
    def life(self) -> Life:
        """The latest process."""
        return self._lives[-1]

    async def start(self) -> None:
        """Start a process and wait until it emits."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "chaos.emitting", self.url, str(self._state)),
            *(str(self._rate), str(self._capacity)),
            stdout=asyncio.subprocess.PIPE,
            env=_environment() | self._environment,
        )
        self._lives.append(Life(process))
        await eventually(lambda: self.life.emitted, "the process emits", 20)

    async def terminate(self) -> None:
        """End the process as a deployment does."""
        self.life.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await self._gone()

    async def kill(self) -> None:
        """End the process as a crash does."""
        at = time.monotonic_ns()
        self.life.process.kill()
        self._kills.append((self.life, at))
        await self._gone()

    def fill_disk(self, *, full: bool) -> None:
        """Let no file of the process grow, as on a full disk; or let them again."""
        pid = self.life.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 if full else hard, hard))

    async def settle(self) -> None:
        """Wait until nothing waits any more."""
        await eventually(self._is_settled, "everything is published or dropped", 60)

    async def finish(self, fault: str, promise: str, *, settle: bool = True) -> Row:
        """End the run and give the account of it."""
        if settle:
            await self.settle()
        await self.terminate()
        delivered = await asyncio.to_thread(self._delivered)
        return self._row(fault, promise, delivered)

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        for life in self._lives:
            with suppress(ProcessLookupError):
                life.process.kill()
            await life.process.wait()
            await life.reading
        self.server.stop()

    def _is_settled(self) -> bool:
        state = self.life.state
        return bool(state) and state["connected"] and not state["spooled"]

    async def _gone(self) -> None:
        await self.life.process.wait()
        await self.life.reading

    def _delivered(self) -> list[str]:
        with self.server.client() as client:
            entries: Any = client.xrange("{charter}:events")
        return [json.loads(fields[b"event"])["id"] for _, fields in entries]

    def _row(self, fault: str, promise: str, delivered: list[str]) -> Row:
        emitted = [event_id for life in self._lives for event_id in life.emitted]
        missing = set(emitted) - set(delivered)
        dropped = self._sum("dropped")
        for life, at in self._kills:
            gone = [at - made for event_id, made in life.emitted.items() if event_id in missing]
            self.loss = max([self.loss, *(age / 1e9 for age in gone)])
        broken = self._broken(promise, emitted, delivered, len(missing) - dropped)
        note = f"lost at most {self.loss * 1000:.0f} ms" if self._kills else ""
        unique = len(set(delivered))
        lost = len(missing) - dropped
        return Row(
            fault, len(emitted), unique, self._sum("replayed"), dropped, lost, promise, broken, note
        )

    def _broken(self, promise: str, emitted: list[str], delivered: list[str], lost: int) -> str:
        order = {event_id: place for place, event_id in enumerate(emitted)}
        places = [order[event_id] for event_id in delivered if event_id in order]
        stop = max(life.state.get("stop", 0.0) for life in self._lives)
        checks = {
            "an event came twice": len(delivered) != len(set(delivered)),
            "the order changed": places != sorted(places),
            "the ledger did not add up": self._sum("imbalances") > 0,
            "lost uncounted": lost > 0 and promise != LAST_100_MS,
            "lost more than 100 ms": self.loss > KILL_BOUND,
            "dropped": self._sum("dropped") > 0 and promise != COUNTED,
            "counted what was delivered": lost < 0,
            f"the stop took {stop:.1f} s": stop > STOP_WITHIN,
        }
        return "; ".join(what for what, is_so in checks.items() if is_so)

    def _sum(self, name: str) -> int:
        return sum(life.state.get(name, 0) for life in self._lives)


@asynccontextmanager
async def running(
    *, proxied: bool = False, environment: dict[str, str] | None = None, capacity: int = 10_000
) -> AsyncIterator[tuple[Run, Proxy]]:
    """Give a run whose process emits and whose Redis takes it, behind a proxy if so wished."""
    with TemporaryDirectory(prefix="charter") as directory:
        run = Run(Path(directory), environment=environment, capacity=capacity)
        proxy = Proxy(run.server.port)
        try:
            run.server.start()
            async with proxy.running():
                run.url = proxy.url if proxied else run.url
                await run.start()
                await run.settle()
                try:
                    yield run, proxy
                finally:
                    await run.close()
        finally:
            run.server.stop()


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHARTER_", "OTEL_"))}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[1])}
