"""Slot locks: who of several instances runs a slot."""

import asyncio
import time
from itertools import pairwise

import pytest

from charter_otel.metrics import jobs
from charter_otel.metrics.jobs import JOB_ID, aggregate_mission_metrics
from charter_otel.metrics.locks import NoLock
from charter_otel.metrics.schedule import Schedule
from charter_otel.service.backend import parse
from charter_otel.testing import Capture
from streams.proxy import Proxy
from support.missions import OpenLock, OpenStore, entries, processed
from support.polling import eventually
from support.redis import RedisServer


async def test_the_first_instance_gets_the_slot(
    redis_server: RedisServer, open_lock: OpenLock
) -> None:
    """Of ten instances that ask at once one gets a slot; the next slot is free again."""
    locks = [open_lock(redis_server.url) for _ in range(10)]
    for slot in (1, 2):
        got = await asyncio.gather(*(lock.acquire("a_job", slot, 30) for lock in locks))
        assert sum(got) == 1


async def test_a_lost_reply_does_not_lose_the_slot_or_give_it_twice(
    redis_server: RedisServer, open_lock: OpenLock
) -> None:
    """An instance without a reply asks again: the slot may be its own, or another's by now."""
    proxy = Proxy(redis_server.port)
    async with proxy.running():
        lock = open_lock(proxy.url)
        proxy.lose_replies_to = b"SET"
        assert await lock.acquire("a_job", 1, 30)
        assert not await open_lock(redis_server.url).acquire("a_job", 1, 30)
        assert await open_lock(redis_server.url).acquire("a_job", 2, 30)
        proxy.lose_replies_to = b"SET"
        assert not await lock.acquire("a_job", 2, 30)
    assert proxy.cuts == 2


async def test_a_taken_slot_is_forgotten_in_the_end(
    redis_server: RedisServer, open_lock: OpenLock
) -> None:
    """The key says job and slot, and lives for two intervals and a minute."""
    lock = open_lock(redis_server.url, prefix="{fleet-7}")
    await lock.acquire("a_job", 56_766_708, 30)
    left = redis_server.command("PTTL", "{fleet-7}:jobs:a_job:56766708")
    assert isinstance(left, int)
    assert 115_000 < left <= 120_000


async def test_the_slots_are_those_of_redis_whatever_the_instances_clocks_show(
    redis_server: RedisServer, open_lock: OpenLock
) -> None:
    """Of three instances, one an hour ahead and one behind, one runs each slot."""
    runs: list[float] = []

    async def job() -> None:
        runs.append(time.monotonic())

    schedules = [
        Schedule(
            "a_job",
            job,
            0.4,
            lock=open_lock(redis_server.url),
            clock=lambda apart=apart: time.time() + apart,  # type: ignore[misc]
        )
        for apart in (0.0, 3600.1, -3600.1)
    ]
    for schedule in schedules:
        await schedule.start()
    await eventually(lambda: len(runs) >= 5, "five runs")
    for schedule in schedules:
        await schedule.stop()
    slots = redis_server.command("KEYS", "{charter}:jobs:a_job:*")
    assert isinstance(slots, list)
    assert len(runs) == len(slots)
    assert all(later - earlier > 0.2 for earlier, later in pairwise(runs[1:]))


async def test_a_single_instance_needs_no_lock(open_lock: OpenLock) -> None:
    """In memory every slot is the instance's own."""
    lock = open_lock("memory://")
    assert isinstance(lock, NoLock)
    assert await lock.acquire("a_job", 1, 30)
    assert await lock.acquire("a_job", 1, 30)


def test_a_url_that_names_no_lock_is_refused() -> None:
    """The error says what is right and repeats nothing of the URL."""
    with pytest.raises(ValueError, match="redis://") as caught:
        parse("amqp://user:secret@host")
    assert "secret" not in str(caught.value)


async def test_a_redis_that_is_down_is_seen_as_a_failed_run(
    charter_capture: Capture, mortal_redis: RedisServer, open_store: OpenStore, open_lock: OpenLock
) -> None:
    """Lock and store are gone: the run goes ahead, fails, and says so; then it recovers."""
    store, lock = open_store(mortal_redis.url), open_lock(mortal_redis.url)
    jobs.set_mission_store(store)
    await store.append(entries(10))
    mortal_redis.kill()
    schedule = Schedule(JOB_ID, aggregate_mission_metrics, 0.2, lock=lock)
    await schedule.start()
    try:
        await eventually(lambda: "metrics.aggregation_failed" in _types(charter_capture), "failed")
        mortal_redis.start()
        await eventually(
            lambda: "metrics.aggregation_completed" in _types(charter_capture), "recovered"
        )
    finally:
        await schedule.stop()
    assert await processed(store) == 10


def _types(captured: Capture) -> list[str]:
    return [event.type for event in captured.events]
