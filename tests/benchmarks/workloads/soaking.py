"""The service in a process of its own that watches its own loop."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from benchmarks import machine
from benchmarks.workloads.emitting import quiet_lines
from benchmarks.workloads.lag import Ticker
from charter_otel.cli.server import embedded
from charter_otel.otel import configure_logs
from charter_otel.otel.lines import LineWriter
from charter_otel.service.settings import load

_CYCLE = 5.0


class State(NamedTuple):
    """The service at a moment."""

    mib: float
    lag_p99: float
    """Milliseconds, since the last look."""


class Soaked:
    """The service, watched."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._ticker = Ticker()
        self.watching = asyncio.create_task(self._ticker.run(86_400))

    async def address(self) -> str:
        """Give ``host:port``."""
        return self._address.removeprefix("http://")

    async def look(self) -> State:
        """Tell memory and lag, and begin to watch anew."""
        state = State(machine.private_bytes(os.getpid()) / 2**20, self._ticker.p99())
        self._ticker.late.clear()
        return state


@asynccontextmanager
async def service() -> AsyncIterator[Soaked]:
    """Run the service on the settings of the environment."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        async with embedded(load()) as address:
            running = Soaked(address)
            yield running
            running.watching.cancel()
            with suppress(asyncio.CancelledError):
                await running.watching
