"""One run of a fault: a Redis, the service that emits, its robots, and the account of it all."""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos import audited, robots
from chaos.account import Account, Bounds, Row
from chaos.life import Life
from chaos.robots import Robots
from streams.proxy import Proxy
from support.instances import registered, stored_events
from support.polling import eventually, wait_until
from support.ports import free_port
from support.redis import RedisServer

RATE = 200
"""Events a second."""

_USUAL = Bounds()
_SETTINGS = {"CHARTER_CONSUMERS": "audit", "CHARTER_LEASE_SECONDS": "1"}
_QUIET = {"CHARTER_AGGREGATION_INTERVAL": "86400"}


class Run:
    """A Redis, and the service that emits through it, one life after the other.

    Args:
        directory: Where Redis, the spool and the audit log are kept.
        capacity: Events that the service keeps in memory, where that is not its own number.
        environment: More variables for the service.
        server: The Redis, where it is not one of the run's own.
        url: The URL by which the service knows it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        capacity: int | None = None,
        environment: dict[str, str] | None = None,
        server: RedisServer | None = None,
        url: str | None = None,
    ) -> None:
        (directory / "redis").mkdir()
        self.server = server or RedisServer(directory / "redis")
        self.url = url or self.server.url
        self.state = directory / "state"
        self._capacity = [] if capacity is None else [str(capacity)]
        self._environment = environment or {}
        self.port = free_port()
        self._robots = Robots(f"ws://127.0.0.1:{self.port}")
        self._leaving = AsyncExitStack()
        self.lives: list[Life] = []
        self._begun = time.monotonic()

    @property
    def life(self) -> Life:
        """The latest process."""
        return self.lives[-1]

    async def begin(self) -> None:
        """Start the service, have the robots connect, and wait until all is published."""
        await self._live(RATE)
        await self._leaving.enter_async_context(self._robots.living())
        await self._are_connected()
        await self.settle()
        self.life.lag = 0.0

    async def start(self) -> None:
        """Start the service again, and wait until the robots are back."""
        await self._live(RATE)
        await self._are_connected()

    async def terminate(self) -> None:
        """End the service as a deployment does."""
        self.life.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await self.life.ended()

    async def kill(self) -> None:
        """End the service as a crash does."""
        self.life.killed_at = time.monotonic_ns()
        self.life.process.kill()
        await self.life.ended()

    def fill_disk(self, *, full: bool) -> None:
        """Let no file of the service grow, as on a full disk; or let them again."""
        pid = self.life.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 if full else hard, hard))

    async def settle(self) -> None:
        """Wait until nothing waits any more."""
        await eventually(self._is_settled, "everything is published or dropped", 60)

    async def finish(self, fault: str, promise: str, bounds: Bounds = _USUAL) -> Row:
        """End the run and give the account of it.

        The service ends under load. What its last moment brought to the stream is audited by the
        next life, in which nothing else happens.

        Args:
            fault: Its name.
            promise: The delivery class.
            bounds: What the fault may do to the service itself.
        """
        await self.settle()
        trouble = "" if len(self.lives) > 1 else self._robots.trouble
        await self.terminate()
        await self._leaving.aclose()
        await self._live(0)
        # Else the tail of what the last life left on disk might come when the wait is over.
        await self.settle()
        await asyncio.to_thread(self._wait)
        await self.terminate()
        wrong = [f"a robot met trouble: {trouble}"] if trouble else []
        return await asyncio.to_thread(self._row, fault, promise, bounds, wrong)

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        for life in self.lives:
            with suppress(ProcessLookupError):
                life.process.kill()
            await life.ended()
        await self._leaving.aclose()
        self.server.stop()

    async def _live(self, rate: float) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.clock", "chaos.emitting"),
            *(str(self.port), str(rate), *self._capacity),
            stdout=asyncio.subprocess.PIPE,
            env=self.variables(quiet=not rate),
        )
        self.lives.append(Life(process, quiet=not rate))
        await eventually(lambda: self.life.state, "the service runs", 20)

    async def _are_connected(self) -> None:
        await eventually(
            lambda: self.life.state["robots"] == robots.count(), "all robots are connected", 60
        )

    def variables(self, *, quiet: bool) -> dict[str, str]:
        """Return the service's environment; a quiet one has its job run once a day."""
        ours = ("CHARTER_", "OTEL_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        paths = {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "CHARTER_STATE_DIR": str(self.state),
        }
        stream = {"CHARTER_EVENT_STREAM": self.url}
        loud = {"CHARTER_AGGREGATION_INTERVAL": "1", **self._environment}
        return kept | paths | stream | _SETTINGS | (_QUIET if quiet else loud)

    def _is_settled(self) -> bool:
        state = self.life.state
        return bool(state) and state["connected"] and not state["spooled"]

    def _wait(self) -> None:
        """Wait until every connection is closed and every event audited; the row tells if not."""
        with suppress(AssertionError):
            wait_until(lambda: not registered(self.server), "every connection is closed")
        audited.wait(self.server, self.log)

    def _row(self, fault: str, promise: str, bounds: Bounds, wrong: list[str]) -> Row:
        stored, seconds = stored_events(self.server), time.monotonic() - self._begun
        account = Account(self.lives, stored, robots.count(), seconds)
        wrong.append(audited.wrong(self.server, self.log))
        row = account.row(fault, promise, bounds, wrong)
        return row._replace(audited=audited.rows(self.log))

    @property
    def log(self) -> Path:
        """Path of the audit log."""
        return self.state / "audit"


@asynccontextmanager
async def running(
    *,
    proxied: bool = False,
    environment: dict[str, str] | None = None,
    capacity: int | None = None,
) -> AsyncIterator[tuple[Run, Proxy]]:
    """Yield a run whose service emits and whose Redis takes it, behind a proxy if so wished."""
    with TemporaryDirectory(prefix="charter") as directory:
        run = Run(Path(directory), environment=environment, capacity=capacity)
        proxy = Proxy(run.server.port)
        try:
            run.server.start()
            async with proxy.running():
                run.url = proxy.url if proxied else run.url
                try:
                    await run.begin()
                    yield run, proxy
                finally:
                    await run.close()
        finally:
            run.server.stop()
