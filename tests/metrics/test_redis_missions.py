"""The store in Redis: shared, durable, open to stock clients."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from charter_otel.metrics.missions import (
    MissionBacklogFull,
    MissionStore,
    MissionsUnavailable,
    RedisMissions,
)
from charter_otel.metrics.missions.aggregates import Aggregates, Totals
from charter_otel.redis.address import parse_address
from support.missions import LossyLink, OpenStore, append, entries, entry, processed, run_once
from support.redis import RedisServer

MISSIONS = "{charter}:missions"
AGGREGATES = "{charter}:missions:aggregates"


async def test_a_stock_client_adds_entries(
    redis_server: RedisServer, redis_store: MissionStore
) -> None:
    """XADD with the field ``data`` is all it takes; an entry without it is malformed."""
    redis_server.command("XADD", MISSIONS, "*", "data", entry())
    redis_server.command("XADD", MISSIONS, "*", "payload", entry())
    redis_server.command("XADD", MISSIONS, "*", "source", "fleet", "data", entry())
    assert await run_once(redis_store) == 2
    assert (await redis_store.aggregates()).totals.malformed == {"no_data": 1}


async def test_a_stock_client_reads_entries_and_aggregates(
    redis_server: RedisServer, redis_store: MissionStore
) -> None:
    """The stream has one field, the aggregates' hash has JSON."""
    await redis_store.append([entry()])
    await run_once(redis_store)
    ((_, fields),) = _rows(redis_server.command("XRANGE", MISSIONS, "-", "+"))
    assert fields == [b"data", entry()]
    assert b'"entries":1' in _bytes(redis_server.command("HGET", AGGREGATES, "status:completed"))


async def test_keys_share_one_hash_tag(redis_server: RedisServer, open_store: OpenStore) -> None:
    """Every key lies in the slot of the prefix that the caller chooses."""
    store = open_store(redis_server.url, prefix="{fleet-7}")
    await store.append(entries(2))
    await run_once(store)
    keys = sorted(_all(redis_server.command("KEYS", "*")))
    assert keys == [b"{fleet-7}:missions", b"{fleet-7}:missions:aggregates"]


async def test_entries_that_no_replica_has_are_stored_and_not_acknowledged(
    redis_server: RedisServer, open_store: OpenStore
) -> None:
    """The error says so: who sends them again counts them twice."""
    store = open_store(f"{redis_server.url}?replicas=1")
    with pytest.raises(MissionsUnavailable, match=r"stored, but only 0 of 1 .* count again"):
        await store.append(entries(2))
    assert await run_once(store) == 2


async def test_aggregates_survive_a_restart(
    mortal_redis: RedisServer, open_store: OpenStore
) -> None:
    """Another process on the same Redis, killed in between, goes on where the first one was."""
    store = open_store(mortal_redis.url)
    await store.append(entries(10))
    assert await run_once(store) == 10
    await store.append(entries(5))
    mortal_redis.kill()
    mortal_redis.start()
    restarted = open_store(mortal_redis.url)
    assert await run_once(restarted) == 5
    assert await processed(restarted) == 15


async def test_two_instances_take_turns(redis_server: RedisServer, open_store: OpenStore) -> None:
    """An instance that was last here some runs ago does not undo what others have added."""
    one, two = open_store(redis_server.url), open_store(redis_server.url)
    for store in (one, two, one, two, two, one):
        await store.append(entries(100))
        assert await run_once(store) == 100
    assert await processed(one) == await processed(two) == 600


async def test_a_commit_whose_reply_is_lost_counts_once(
    redis_server: RedisServer, open_store: OpenStore
) -> None:
    """The commit is sent again, and Redis knows that it was done."""
    async with LossyLink(redis_server.port).listening() as link:
        store = open_store(f"redis://127.0.0.1:{link.port}/0")
        await store.append(entries(2_500))
        await run_once(store)  # the scripts are known from now on
        await store.append(entries(2_500))
        link.lose_reply_to = b"totals"
        assert await run_once(store) == 2_500
        assert link.lost == 1
        assert await processed(store) == 5_000


async def test_a_failure_in_the_middle_counts_nothing_twice(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, open_store: OpenStore
) -> None:
    """A run that loses a commit's reply for good fails; the next one goes on behind the commit."""
    async with LossyLink(redis_server.port).listening() as link:
        store = open_store(f"redis://127.0.0.1:{link.port}/0")
        await append(store, 35_000)
        monkeypatch.setattr(RedisMissions, "_commit_surely", _commit_without_retry)
        link.lose_reply_to = b"totals"
        with pytest.raises(RedisConnectionError):
            await run_once(store)
        assert await processed(store) == 20_000
        assert await run_once(store) == 15_000
        assert await processed(store) == 35_000


async def _commit_without_retry(self: Any, arguments: list[Any]) -> bool:
    return bool(await self._commit(self._client, [self._missions, self._hash], *arguments))


async def test_a_flushed_redis_starts_again(
    redis_server: RedisServer, redis_store: MissionStore
) -> None:
    """After a FLUSHALL neither cursor nor aggregates are remembered by the instance."""
    await redis_store.append(entries(10))
    await run_once(redis_store)
    redis_server.command("FLUSHALL")
    await redis_store.append(entries(3))
    assert await run_once(redis_store) == 3
    assert await processed(redis_store) == 3


async def test_entries_counted_an_hour_ago_are_trimmed(
    redis_server: RedisServer, redis_store: MissionStore
) -> None:
    """Counted entries go an hour after they came; those that wait stay, however old."""
    hours_ago = int(time.time() * 1000) - 3 * 3_600_000
    for number in range(1_000):
        redis_server.command("XADD", MISSIONS, f"{hours_ago}-{number + 1}", "data", entry())
    await redis_store.append(entries(10))
    assert await run_once(redis_store) == 1_010
    # Redis trims by whole nodes of at most 100 entries.
    assert int(str(redis_server.command("XLEN", MISSIONS))) <= 110
    assert await processed(redis_store) == 1_010


async def test_entries_that_wait_are_never_trimmed(
    redis_server: RedisServer, redis_store: MissionStore
) -> None:
    """A commit on an old batch leaves the entries behind it, although they are as old."""
    hours_ago = int(time.time() * 1000) - 3 * 3_600_000
    for number in range(1_000):
        redis_server.command("XADD", MISSIONS, f"{hours_ago + number}-1", "data", entry())
    batch = await redis_store.read(300)
    assert await redis_store.commit(batch, Aggregates(Totals(entries_processed=300)))
    assert await run_once(redis_store) == 700


async def test_a_full_backlog_refuses_the_whole_list(
    redis_server: RedisServer, closed_at_end: Callable[[MissionStore], MissionStore]
) -> None:
    """Beyond the capacity nothing is taken; what is counted makes room."""
    client = parse_address(redis_server.url).client()
    store = closed_at_end(RedisMissions(client, capacity=500))
    await store.append(entries(500))
    with pytest.raises(MissionBacklogFull):
        await store.append(entries(1))
    assert await run_once(store) == 500
    await store.append(entries(300))
    assert await run_once(store) == 300


async def test_counted_entries_make_exactly_as_much_room_as_they_took(
    redis_server: RedisServer, closed_at_end: Callable[[MissionStore], MissionStore]
) -> None:
    """A list that fills the backlog to its last place is taken, and the next entry is not."""
    client = parse_address(redis_server.url).client()
    store = closed_at_end(RedisMissions(client, capacity=500))
    await store.append([b"{}"] * 500)
    await run_once(store)
    # Redis trims by whole nodes of 100 entries; the last one holds the newest that is counted.
    await store.append([b"{}"] * 400)
    with pytest.raises(MissionBacklogFull):
        await store.append([b"{}"])


async def test_an_unreachable_redis_is_named_in_plain_words(
    mortal_redis: RedisServer, open_store: OpenStore
) -> None:
    """REST gets one kind of error, with what to check, and without an address or a password."""
    store = open_store(mortal_redis.url)
    mortal_redis.kill()
    with pytest.raises(MissionsUnavailable, match="check that it runs") as caught:
        await store.append(entries(1))
    assert "127.0.0.1" not in str(caught.value)
    with pytest.raises(MissionsUnavailable):
        await store.aggregates()


def _rows(reply: object) -> Any:
    return reply


def _all(reply: object) -> Any:
    return reply


def _bytes(reply: object) -> bytes:
    assert isinstance(reply, bytes)
    return reply
