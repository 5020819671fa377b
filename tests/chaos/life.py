"""One process of the service, from its start to its end, and what it said."""

import asyncio
import json
from typing import Any, NamedTuple


class Emission(NamedTuple):
    """An event that a process emitted."""

    at: int
    """Monotonic nanoseconds."""
    closes: str
    """Id of the connection that it closes, or empty."""


class Life:
    """A process that says what it emits; see `chaos.emitting`.

    Args:
        process: The process; its stdout is a pipe.
        quiet: Whether it emits nothing by itself, and has no robots.
    """

    def __init__(self, process: asyncio.subprocess.Process, *, quiet: bool = False) -> None:
        self.process = process
        self.quiet = quiet
        self.emitted: dict[str, Emission] = {}
        """By event id, in order."""
        self.state: dict[str, Any] = {}
        self.lag = 0.0
        """Seconds by which the event loop was late, at most."""
        self.killed_at: int | None = None
        """Monotonic nanoseconds."""
        self._reading = asyncio.create_task(self._read())

    async def ended(self) -> None:
        """Wait until the process has ended, and all that it said is heard."""
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            kind, _, text = line.decode().rstrip("\n").partition(" ")
            if kind == "emitted":
                event_id, at, closes = text.split(" ")
                self.emitted[event_id] = Emission(int(at), closes)
            elif kind == "state":
                self.state = json.loads(text)
                self.lag = max(self.lag, self.state["lag"])
