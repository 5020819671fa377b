"""The store in memory: bounded, and free of what is counted."""

import pytest

from charter_otel.metrics.missions import MemoryMissions, MissionBacklogFull
from support.missions import entries, run_once


async def test_a_full_backlog_refuses_the_whole_list() -> None:
    """Beyond the capacity nothing of a list is taken, and nothing that waits is lost."""
    store = MemoryMissions(capacity=5)
    await store.append(entries(4))
    with pytest.raises(MissionBacklogFull, match="5 mission entries wait"):
        await store.append(entries(2))
    assert len((await store.read(10)).data) == 4


async def test_a_run_makes_room() -> None:
    """Entries that the job has counted wait no longer."""
    store = MemoryMissions(capacity=5)
    await store.append(entries(5))
    await run_once(store)
    await store.append(entries(5))
    assert await run_once(store) == 5
