"""Mission entries in this process: bounded, and lost when it ends."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

import msgspec

from charter_otel.metrics.missions.aggregates import Aggregates
from charter_otel.metrics.missions.base import CAPACITY, Batch, MissionBacklogFull, MissionStore


class MemoryMissions(MissionStore):
    """A mission store in memory.

    Args:
        capacity: Most entries that wait for the job.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._waiting: deque[bytes] = deque()
        self._aggregates = Aggregates()
        self._cursor = 0

    async def append(self, entries: Sequence[bytes]) -> None:
        """Add entries for the job, all or none."""
        if len(self._waiting) + len(entries) > self._capacity:
            raise MissionBacklogFull(self._capacity)
        self._waiting.extend(entries)

    async def read(self, limit: int) -> Batch:
        """Return the first waiting entries."""
        data = list(islice(self._waiting, limit))
        return Batch(str(self._cursor), str(self._cursor + len(data)), data)

    async def commit(self, batch: Batch, added: Aggregates) -> bool:
        """Add to the aggregates and release the entries."""
        if batch.version != str(self._cursor):
            return False
        self._aggregates.add(added)
        self._cursor = int(batch.position)
        for _ in batch.data:
            self._waiting.popleft()
        return True

    async def aggregates(self) -> Aggregates:
        """Return a copy of the aggregates."""
        return msgspec.convert(msgspec.to_builtins(self._aggregates), Aggregates)
