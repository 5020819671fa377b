"""The robots whose connections are open throughout a fault."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from charter_otel.simulator import RobotBehaviour, SimulatedFleet, parse

_CONNECTS_PER_SECOND = 500
_PAUSE = 1.0
"""Seconds between two attempts to connect at most; a run cannot wait for ten."""
_BEHAVIOUR = RobotBehaviour(hz=0.2, longest_pause=_PAUSE)


def count() -> int:
    """Return how many robots there are: CHAOS_ROBOTS, 500 by default."""
    return int(os.environ.get("CHAOS_ROBOTS", "500"))


class Robots:
    """Robots that send a reading every five seconds, and come back when they are cut off.

    Args:
        websocket: The service's address.
    """

    def __init__(self, websocket: str) -> None:
        self._fleet = SimulatedFleet(
            parse(websocket),
            count(),
            lambda _: _BEHAVIOUR,
            connects_per_second=_CONNECTS_PER_SECOND,
        )

    @property
    def names(self) -> list[str]:
        """The robots' ids."""
        return self._fleet.robot_ids

    @property
    def connected(self) -> bool:
        """Whether all of them are."""
        return self._fleet.stats.open == len(self.names)

    @property
    def trouble(self) -> str:
        """Return the first error that a robot met: cut off, refused or not answered; or ""."""
        return self._fleet.stats.first_error or ""

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Connect the robots; they leave at the end."""
        stop = asyncio.Event()
        living = asyncio.create_task(self._fleet.run(stop), name="robots")
        try:
            yield
        finally:
            stop.set()
            await living
