"""The interface of a mission store: append, read on from the cursor, commit, aggregates."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from charter_otel.metrics.missions.aggregates import Aggregates

CAPACITY = 1_000_000
"""Entries that wait for the job at most; beyond it, a store refuses more."""


class MissionsUnavailable(ConnectionError):  # noqa: N818 - the name says what the store is
    """The store cannot be reached or takes no more; the text says what to do."""


class MissionBacklogFull(MissionsUnavailable):
    """The store is full of entries that wait for the job."""

    def __init__(self, capacity: int) -> None:
        super().__init__(
            f"{capacity:,} mission entries wait for the aggregation job already; "
            "try again after its next run"
        )


class Batch(NamedTuple):
    """Entries after the cursor, in the order of their arrival."""

    version: str
    """State of cursor and aggregates that the batch was read at."""
    position: str
    """The cursor after this batch."""
    data: Sequence[bytes | None]
    """The entries as they were written; None for one without data."""


class MissionStore(ABC):
    """Holds mission entries until the job has counted them, and the job's aggregates.

    Cursor and aggregates move together, in one atomic step for each batch, and only from the state
    at which the batch was read. So each entry counts exactly once: a run that fails in the middle
    keeps the batches that it has committed. Of two runs on the same batch one is refused.
    """

    @abstractmethod
    async def append(self, entries: Sequence[bytes]) -> None:
        """Add entries for the job, all or none.

        Raises:
            MissionBacklogFull: The store is full of entries that wait already.
            MissionsUnavailable: The store cannot be reached, or too few replicas have the entries.
        """

    @abstractmethod
    async def read(self, limit: int) -> Batch:
        """Return the entries after the cursor, ``limit`` at most; none when all are counted."""

    @abstractmethod
    async def commit(self, batch: Batch, added: Aggregates) -> bool:
        """Move the cursor behind the batch and add to the aggregates, in one step.

        Returns:
            False if another run has moved the cursor since; then nothing is changed.
        """

    @abstractmethod
    async def aggregates(self) -> Aggregates:
        """Return the aggregates of all entries counted so far.

        Raises:
            MissionsUnavailable: The store cannot be reached.
        """

    async def aclose(self) -> None:
        """Release the resources of the store."""
        return
