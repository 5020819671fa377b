"""The missions of a fleet: entries that are posted to the service."""

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

import httpx

from charter_otel.aio import wait_for
from charter_otel.simulator.stats import FleetStats

_STATUSES = {"completed": 85, "failed": 10, "cancelled": 5}
_POSTS_PER_SECOND = 5.0


class Missions:
    """Posts mission entries at a steady rate."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        robot_ids: Sequence[str],
        per_second: float,
        stats: FleetStats,
    ) -> None:
        self._client = client
        self._robot_ids = robot_ids
        self._per_second = per_second
        self._stats = stats
        self._random = Random(0)  # noqa: S311 - missions, not secrets
        self._numbers = count(1)
        self._run = f"{time.time_ns() // 1_000_000:x}"

    async def post(self, stop: asyncio.Event) -> None:
        """Post entries, several in a request, until ``stop``."""
        pause = 1 / min(self._per_second, _POSTS_PER_SECOND)
        started, posted = time.perf_counter(), 0
        while not stop.is_set():
            due = int((time.perf_counter() - started) * self._per_second) + 1
            await self._post([self._entry() for _ in range(due - posted)])
            posted = due
            await wait_for(stop, pause)

    async def _post(self, entries: list[dict[str, Any]]) -> None:
        try:
            response = await self._client.post("/api/metrics/missions", json=entries)
            response.raise_for_status()
        except httpx.HTTPError as error:
            self._stats.failed("missions", error)
        else:
            self._stats.missions += len(entries)

    def _entry(self) -> dict[str, Any]:
        (status,) = self._random.choices(list(_STATUSES), list(_STATUSES.values()))
        return {
            "mission_id": f"mission_{self._run}_{next(self._numbers):06d}",
            "status": status,
            "robot_id": self._random.choice(self._robot_ids),
            "duration_ms": round(self._random.lognormvariate(10.5, 0.6)),
            "timestamp": time.time(),
        }
