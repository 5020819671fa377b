"""The contract of mission stores: one suite for memory and Redis."""

import asyncio

import pytest

from charter_otel.metrics.missions import MissionStore
from charter_otel.metrics.missions.aggregates import Aggregates, Totals
from charter_otel.service.backend import parse
from support.missions import append, entries, entry, processed, run_once


async def test_entries_come_in_the_order_of_their_arrival(store: MissionStore) -> None:
    """Reading gives the entries as they were appended, a limited number at once."""
    await store.append([entry(1), entry(2)])
    await store.append([entry(3)])
    assert (await store.read(2)).data == [entry(1), entry(2)]
    assert (await store.read(10)).data == [entry(1), entry(2), entry(3)]


async def test_reading_changes_nothing(store: MissionStore) -> None:
    """A batch that is not committed is read again."""
    await store.append(entries(3))
    assert await store.read(2) == await store.read(2)


async def test_an_empty_store_has_nothing_to_read(store: MissionStore) -> None:
    """Without entries the batch is empty, and so are the aggregates."""
    assert (await store.read(10)).data == []
    assert await store.aggregates() == Aggregates()


async def test_commit_moves_cursor_and_aggregates_together(store: MissionStore) -> None:
    """After a commit the entries are counted, and reading goes on behind them."""
    await store.append(entries(5))
    batch = await store.read(3)
    assert await store.commit(batch, Aggregates(Totals(entries_processed=3)))
    assert await processed(store) == 3
    assert (await store.read(10)).data == entries(5)[3:]


async def test_a_batch_is_committed_once(store: MissionStore) -> None:
    """Of two commits of the same entries the second is refused and changes nothing."""
    await store.append(entries(3))
    first, second = await store.read(3), await store.read(2)
    assert await store.commit(first, Aggregates(Totals(entries_processed=3)))
    assert not await store.commit(second, Aggregates(Totals(entries_processed=2)))
    assert not await store.commit(first, Aggregates(Totals(entries_processed=3)))
    assert await processed(store) == 3


async def test_aggregates_are_a_copy(store: MissionStore) -> None:
    """Changing the returned aggregates does not change the store's."""
    (await store.aggregates()).totals.entries_processed = 99
    assert await processed(store) == 0


async def test_any_bytes_wait_and_are_read(store: MissionStore) -> None:
    """The store gives back what was written, entry or not."""
    data = [b"\x00\xff", b"", b"{", entry()]
    await store.append(data)
    assert (await store.read(10)).data == data


async def test_aggregates_keep_statuses_and_robots(store: MissionStore) -> None:
    """Counts are there again, by status and by robot, in later runs too."""
    await store.append([entry(1, status="failed", robot_id="robot_001", duration_ms=5)])
    await run_once(store)
    await store.append([entry(2, status="failed", robot_id="robot_001", duration_ms=7)])
    await store.append([entry(3, status="naïve: status", robot_id="a:b")])
    await run_once(store)
    aggregates = await store.aggregates()
    failed = aggregates.by_status["failed"]
    assert (failed.entries, failed.duration_ms.total, failed.duration_ms.max) == (2, 12, 7)
    assert aggregates.by_status["naïve: status"].entries == 1
    assert {r: a.entries for r, a in aggregates.by_robot.items()} == {"robot_001": 2, "a:b": 1}


async def test_runs_at_the_same_time_count_each_entry_once(store: MissionStore) -> None:
    """Several runs on one store share the entries between them."""
    await append(store, 50_000)
    counts = await asyncio.gather(*(run_once(store) for _ in range(4)))
    assert sum(counts) == 50_000
    assert await processed(store) == 50_000


async def test_entries_that_come_during_a_run_are_counted_once(store: MissionStore) -> None:
    """Entries that are appended while a run is going belong to this run or to the next."""
    await append(store, 30_000)

    async def append_more() -> None:
        for _ in range(10):
            await store.append(entries(50))

    first, _ = await asyncio.gather(run_once(store), append_more())
    second = await run_once(store)
    assert first + second == 30_500
    assert await processed(store) == 30_500


def test_a_url_that_names_no_store_is_refused() -> None:
    """The error says what is right and repeats nothing of the URL."""
    with pytest.raises(ValueError, match="redis://") as caught:
        parse("kafka://user:secret@host")
    assert "secret" not in str(caught.value)
