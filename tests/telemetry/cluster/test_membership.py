"""An instance's heartbeat, and what the others make of its silence."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from charter_otel.redis.address import parse_address
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from support.fake_time import StoppedClock, settle
from support.redis import RedisServer

LEASE = 0.3

Members = list[Membership]


@pytest.fixture
async def members(redis_url: str) -> AsyncIterator[Members]:
    """Yield two instances' memberships."""
    async with AsyncExitStack() as stack:
        clients = [parse_address(redis_url).client() for _ in range(2)]
        for client in clients:
            stack.push_async_callback(client.aclose)
        yield [Membership(client, ClusterKeys(), LEASE) for client in clients]


@pytest.fixture
async def alone(server: RedisServer) -> AsyncIterator[Membership]:
    """Yield the membership of an instance whose Redis a test may stop and pause."""
    client = parse_address(server.url).client()
    yield Membership(client, ClusterKeys(), LEASE)
    await client.aclose()


async def test_an_instance_joins_once_and_renews_then(members: Members) -> None:
    """It is told when Redis did not know it, because then Redis knows nothing of its robots."""
    one, _ = members
    assert await one.renew() == "joined"
    assert await one.renew() == "renewed"
    assert one.valid


@pytest.mark.parametrize("renewed", [False, True])
async def test_the_common_clock_is_that_of_redis(members: Members, *, renewed: bool) -> None:
    """Both are this machine's here; before the first answer its own clock serves."""
    one, _ = members
    if renewed:
        await one.renew()
    assert one.on_common_clock(time.monotonic()) == pytest.approx(time.time(), abs=2)


async def test_after_a_failover_or_a_restart_an_instance_joins_again(
    server: RedisServer, alone: Membership
) -> None:
    """The server may have lost what it was told last, though it still knows the instance."""
    await alone.renew()
    server.stop()
    server.start()
    await alone._client.connection_pool.disconnect()
    assert await alone.renew() == "joined"
    assert await alone.renew() == "renewed"


async def test_an_instance_that_is_silent_for_long_is_declared_lost_and_gets_a_new_name(
    members: Members, clock: StoppedClock
) -> None:
    """An observer of the silence declares it lost; the sleeper learns of it when it wakes up."""
    one, two = members
    await one.renew()
    await _watch(two, clock)
    assert await two.declare_lost() == 1
    name = one.id
    assert one.in_doubt
    assert await one.renew() == "lost"
    assert one.is_lost(name)
    assert one.id != name
    assert await one.renew() == "joined"


async def test_an_instance_with_heartbeats_is_not_declared_lost(
    members: Members, clock: StoppedClock
) -> None:
    """However often the others look."""
    one, two = members
    for _ in range(8):
        assert await one.renew() in {"joined", "renewed"}
        await two.renew()
        assert await two.declare_lost() == 0
        clock.now += LEASE / 3


async def test_an_instance_is_declared_lost_after_one_and_a_half_leases(
    members: Members, clock: StoppedClock
) -> None:
    """By the observer's own clock, from the last change that it saw."""
    one, two = members
    await one.renew()
    await two.renew()
    clock.now += 1.49 * LEASE
    assert await two.declare_lost() == 0
    clock.now += 0.02 * LEASE
    assert await two.declare_lost() == 1


async def test_an_observer_that_could_not_watch_begins_anew(
    members: Members, clock: StoppedClock
) -> None:
    """After an outage of Redis, or its own sleep, an instance takes nobody for dead at once."""
    one, two = members
    await one.renew()
    await two.renew()
    clock.now += 2 * LEASE
    await two.renew()
    assert await two.declare_lost() == 0
    assert await one.renew() == "renewed"


async def test_a_sign_of_life_in_the_last_moment_counts(
    members: Members, clock: StoppedClock
) -> None:
    """Between the look and the declaration the instance may have woken up."""
    one, two = members
    await one.renew()
    await _watch(two, clock)
    await one.renew()
    assert await two.declare_lost() == 1
    assert await one.renew() == "renewed"


async def test_doubt_ends_with_the_next_answer(members: Members, clock: StoppedClock) -> None:
    """A caller that asks whether the lease still holds waits for the answer, and no longer."""
    one, _ = members
    await one.renew()
    clock.now += LEASE
    assert one.in_doubt
    waiting = asyncio.create_task(one.settled(5))
    await settle()
    assert not waiting.done()
    await one.renew()
    await asyncio.wait_for(waiting, 5)
    assert not one.in_doubt


async def test_an_answer_from_before_the_end_of_the_lease_ends_no_doubt(
    server: RedisServer, alone: Membership, clock: StoppedClock
) -> None:
    """It may have lain there while the instance slept, and was declared lost after it was given."""
    await alone.renew()
    server.pause()
    late = asyncio.create_task(alone.renew())
    await settle()
    clock.now += LEASE
    server.resume()
    await late
    assert alone.in_doubt
    await alone.renew()
    assert not alone.in_doubt


async def test_an_instance_without_a_heartbeat_yet_is_not_in_doubt(members: Members) -> None:
    """Nobody can have declared it lost, so that nothing waits while Redis is away."""
    one, _ = members
    assert not one.in_doubt
    assert not one.valid


async def _watch(observer: Membership, clock: StoppedClock) -> None:
    """Send an observer's heartbeats for two leases."""
    for _ in range(6):
        await observer.renew()
        clock.now += LEASE / 3
