"""A user of a dashboard, which reads presence and the latest readings through REST."""

import asyncio
from itertools import cycle

import httpx

from charter_otel.aio import wait_for
from charter_otel.simulator import SimulatedFleet


class Viewer:
    """Reads the metrics of one robot after the other, ``every`` so many seconds."""

    def __init__(self, client: httpx.AsyncClient, fleet: SimulatedFleet, *, every: float) -> None:
        self._client = client
        self._every = every
        self._stats = fleet.stats
        self._robot_ids = cycle(fleet.robot_ids)

    async def view(self, stop: asyncio.Event) -> None:
        """Read until ``stop``."""
        while not await wait_for(stop, self._every):
            await self._read("/api/telemetry/robots")
            await self._read(f"/api/telemetry/robots/{next(self._robot_ids)}/metrics")

    async def _read(self, path: str) -> None:
        try:
            response = await self._client.get(path)
            # A robot that has sent nothing yet is unknown.
            if response.status_code != httpx.codes.NOT_FOUND:
                response.raise_for_status()
        except httpx.HTTPError as error:
            self._stats.failed("viewer", error)
