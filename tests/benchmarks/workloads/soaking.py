"""The service in a process of its own that watches its own loop, and the fleet that it has."""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, TypeVar

from picows import WSMsgType

from benchmarks import machine
from benchmarks.workloads.clients import READING, Load
from benchmarks.workloads.emitting import quiet_lines
from benchmarks.workloads.lag import TICK, Ticker
from charter_otel.otel import configure_logs
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.server.server import embedded
from charter_otel.service.settings import load

IdleT = TypeVar("IdleT", bound="Idle")


class State(NamedTuple):
    """The service at a moment."""

    mib: float
    lag_p99: float
    """Milliseconds, since the last look."""
    pause: float
    """Milliseconds of CPU of the longest run of the garbage collector, since the last look."""


class Idle:
    """A loop with nothing to do but to watch itself."""

    def __init__(self) -> None:
        self._ticker = Ticker()
        self.watching = asyncio.create_task(self._ticker.run(86_400))

    async def lag_p99(self) -> float:
        """Return milliseconds, since the last look, and begin to watch anew."""
        lag = self._ticker.p99()
        self._ticker.late.clear()
        return lag


class Soaked(Idle):
    """The service, watched."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._collecting = self._pause = 0.0
        gc.callbacks.append(self._time)

    async def address(self) -> str:
        """Return ``host:port``."""
        return self._address.removeprefix("http://")

    async def look(self) -> State:
        """Return memory, lag and pause, and begin to watch anew."""
        pause, self._pause = self._pause * 1e3, 0.0
        return State(machine.private_bytes(os.getpid()) / 2**20, await self.lag_p99(), pause)

    def _time(self, phase: str, _: dict[str, int]) -> None:
        """Time a run of the garbage collector; Redis and the idle loop share its core."""
        now = time.thread_time()
        if phase == "start":
            self._collecting = now
        else:
            self._pause = max(self._pause, now - self._collecting)


class Fleet(Load):
    """Robots that send a frame each period, from the moment at which they are there."""

    def __init__(self, address: str, period: float) -> None:
        super().__init__(address)
        self._period = period
        self._sent = 0
        self.sending = asyncio.create_task(self._send())

    async def sent(self) -> int:
        """Return the number of frames since the last time."""
        sent, self._sent = self._sent, 0
        return sent

    async def _send(self) -> None:
        """Send the next robot's frame when it is due, evenly over the period."""
        turn, due, last = 0, 0.0, time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            due += (now - last) * len(self._robots) / self._period
            last = now
            while due >= 1:
                robot = self._robots[turn % len(self._robots)]
                if not robot.gone.is_set():
                    robot.transport.send(WSMsgType.TEXT, READING)
                    self._sent += 1
                turn, due = turn + 1, due - 1


@asynccontextmanager
async def fleet(address: str, period: float) -> AsyncIterator[Fleet]:
    """Yield a fleet that is not there yet; `Fleet.hold` connects it."""
    running = Fleet(address, period)
    try:
        yield running
    finally:
        await _cancelled(running.sending)
        await running.let_go()


@asynccontextmanager
async def service() -> AsyncIterator[Soaked]:
    """Run the service on the settings of the environment."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        async with embedded(load()) as address, _watching(Soaked(address)) as running:
            yield running


@asynccontextmanager
async def idle() -> AsyncIterator[Idle]:
    """Run a loop that shares the service's core, to tell what is the machine's and what is ours."""
    async with _watching(Idle()) as running:
        yield running


@asynccontextmanager
async def _watching(running: IdleT) -> AsyncIterator[IdleT]:
    try:
        yield running
    finally:
        await _cancelled(running.watching)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
