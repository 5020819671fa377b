"""Offline robots whose instance is gone: one that lives counts them, until they come back."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis import Redis

from charter_otel.aio import end
from charter_otel.charter import CloseReason
from charter_otel.redis.address import parse_address
from charter_otel.telemetry.cluster import SharedPresence
from charter_otel.telemetry.cluster.adoption import Adoption
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.conditions import Conditions
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet
from support.instances import reaped
from support.polling import eventually
from support.redis import RedisServer

LEASE = 0.3


class Instance:
    """An instance's robots, and its part among the others."""

    def __init__(self, url: str) -> None:
        self.redis: Any = Redis.from_url(url)
        self.fleet, self.connections = Fleet(), Connections()
        client = parse_address(url).client()
        self.shared = SharedPresence(client, self.fleet, self.connections, self._close, lease=LEASE)

    async def _close(self, connection: Connection, ended: float) -> None:
        """Emit nothing."""

    def connect(self, robot_id: str) -> Connection:
        """Accept a robot."""
        connection = Connection(robot_id)
        self.connections.add(connection)
        self.fleet.connected(connection)
        self.shared.opened(connection)
        return connection

    def lose(self, connection: Connection, reason: CloseReason) -> None:
        """End a robot's connection."""
        self.connections.remove(connection)
        self.fleet.disconnected(connection, reason, time.time())
        self.shared.closed(connection)

    def count(self, condition: str) -> set[str]:
        """Return the robots that it counts in a condition."""
        return set(Conditions(self.fleet).look()[condition])

    def shares(self, robot_id: str, status: bytes) -> bool:
        """Return whether all know the robot's status."""
        return status in (self.redis.hget(ClusterKeys().presence, robot_id) or b"")

    def take_turn(self) -> None:
        """Look for orphans from now on, instead of whoever does."""
        self.redis.set(ClusterKeys().reaper, self.shared._membership.id, px=round(LEASE * 1_000))

    async def kill(self) -> None:
        """End without a word."""
        for task in self.shared._tasks:
            await end(task, time.monotonic())
        self.shared._tasks.clear()


Make = Callable[[], Awaitable[Instance]]


@pytest.fixture
async def make(redis_url: str) -> AsyncIterator[Make]:
    """Yield what starts an instance."""
    async with AsyncExitStack() as stack:

        async def make() -> Instance:
            instance = Instance(redis_url)
            await instance.shared.start()
            stack.callback(instance.redis.close)
            stack.push_async_callback(instance.shared.stop)
            await eventually(lambda: instance.shared.connected, "it shares")
            return instance

        yield make


async def test_a_robot_that_was_lost_at_an_instance_that_stops_stays_lost(
    make: Make, redis_server: RedisServer
) -> None:
    """A survivor counts it at once, and only one does."""
    one, two, three = await make(), await make(), await make()
    one.lose(await _online(one, "robot_001"), CloseReason.CONNECTION_LOST)
    await one.shared.stop()
    await eventually(lambda: _counted(two, three) == ["robot_001"], "a survivor counts it")
    for survivor in (two, three):
        survivor.take_turn()
        await reaped(redis_server, 3)
    assert _counted(two, three) == ["robot_001"]


@pytest.mark.parametrize("killed", [False, True])
async def test_it_is_counted_by_a_service_that_was_alone_too(make: Make, *, killed: bool) -> None:
    """The next process of the same service, after a stop or a kill."""
    one = await make()
    one.lose(await _online(one, "robot_001"), CloseReason.HEARTBEAT_TIMEOUT)
    await eventually(lambda: one.shares("robot_001", b"offline"), "all know")
    await (one.kill() if killed else one.shared.stop())
    two = await make()
    await eventually(lambda: two.count("lost") == {"robot_001"}, "it is counted")


async def test_a_robot_that_comes_back_is_forgotten_by_who_counted_it(make: Make) -> None:
    """At another instance, or at the same."""
    one, two, three = await make(), await make(), await make()
    one.lose(await _online(one, "robot_001"), CloseReason.CONNECTION_LOST)
    await one.shared.stop()
    await eventually(lambda: two.count("lost") | three.count("lost"), "a survivor counts it")
    adopter, other = (two, three) if two.count("lost") else (three, two)
    back = await _online(other, "robot_001")
    await eventually(lambda: not adopter.count("offline"), "it is at the other one")
    other.lose(back, CloseReason.CLIENT_DISCONNECT)
    assert (other.count("offline"), other.count("lost")) == ({"robot_001"}, set())


@pytest.mark.parametrize(("newest", "waits"), [("ws_1", False), ("ws_2", True)])
async def test_a_robot_that_was_back_at_a_killed_instance_has_time_too(
    redis_url: str, newest: str, *, waits: bool
) -> None:
    """Its presence is of the connection before, which was lost: of the newest nobody knows more."""
    client, fleet = parse_address(redis_url).client(), Fleet()
    member = Membership(client, ClusterKeys(), LEASE)
    adoption = Adoption(client, ClusterKeys(), member, fleet)
    lost = {"robot_id": "robot_001", "connection_id": "ws_1", "last_reason": "connection_lost"}
    adoption.expect(lost, newest)
    await adoption.adopt(lambda _: False)
    await client.aclose()
    assert bool(adoption._expected) is waits


@pytest.mark.parametrize("killed", [False, True])
async def test_robots_of_an_instance_that_ends_have_time_to_come_back(
    make: Make, redis_server: RedisServer, *, killed: bool
) -> None:
    """Those that do are never offline, and those that do not are lost after four leases."""
    one, two = await make(), await make()
    held = [await _online(one, name) for name in ("comes", "stays_away")]
    for connection in [] if killed else held:
        one.lose(connection, CloseReason.SERVER_SHUTDOWN)
    await (one.kill() if killed else one.shared.stop())
    ended = time.monotonic()
    await eventually(lambda: len(two.shared._adoption._expected) == 2, "both are waited for")
    two.connect("comes")
    seen = set[str]()

    def look() -> bool:
        seen.update(two.count("offline"))
        return bool(seen)

    await eventually(look, "one is missed")
    assert time.monotonic() - ended >= 4 * LEASE
    await reaped(redis_server, 3)
    look()
    assert seen == two.count("lost") == {"stays_away"}


async def test_an_instance_that_slept_does_not_count_what_another_one_does(make: Make) -> None:
    """It wakes up, and its lost robot is the other's."""
    one, two = await make(), await make()
    one.lose(await _online(one, "robot_001"), CloseReason.CONNECTION_LOST)
    await eventually(lambda: one.shares("robot_001", b"offline"), "all know")
    await one.kill()
    await eventually(lambda: two.count("lost") == {"robot_001"}, "the other one counts it")
    assert one.count("lost") == {"robot_001"}
    await one.shared.start()
    await eventually(lambda: not one.count("lost"), "it is forgotten")
    assert two.count("lost") == {"robot_001"}


async def test_a_robot_that_left_again_elsewhere_left_as_it_did_there(make: Make) -> None:
    """Though the others do not know yet that it was there."""
    one, two = await make(), await make()
    one.lose(await _online(one, "robot_001"), CloseReason.CONNECTION_LOST)
    await eventually(lambda: one.shares("robot_001", b"offline"), "all know")
    await two.kill()
    two.lose(two.connect("robot_001"), CloseReason.CLIENT_DISCONNECT)
    await one.shared.stop()
    adoption = two.shared._adoption
    await adoption.look()
    await adoption.adopt(two.shared._changes.pending)
    assert (two.count("offline"), two.count("lost")) == ({"robot_001"}, set())
    await two.shared.start()
    await eventually(lambda: two.shares("robot_001", b"client_disconnect"), "all know")
    await eventually(lambda: not adoption._expected, "it is not expected any more")
    assert (two.count("offline"), two.count("lost")) == ({"robot_001"}, set())


async def test_a_robot_whose_instance_died_before_a_word_of_it_is_missed(make: Make) -> None:
    """It had been claimed, and its presence is still that of the connection before."""
    one, two, three = await make(), await make(), await make()
    one.lose(await _online(one, "robot_001"), CloseReason.CONNECTION_LOST)
    await eventually(lambda: one.shares("robot_001", b"offline"), "all know")
    await three.kill()
    three.connect("robot_001")
    await three.shared._takeover.claim(three.shared._membership)
    await eventually(lambda: _counted(one, two) == ["robot_001"], "it is counted")
    await one.shared.stop()
    await eventually(lambda: two.count("lost") == {"robot_001"}, "the other one counts it")


async def test_a_robot_that_left_long_ago_is_not_missed(make: Make) -> None:
    """After a day nobody adopts it, when one that has just left is adopted."""
    one = await make()
    for name in ("long_ago", "just_now"):
        one.lose(await _online(one, name), CloseReason.CONNECTION_LOST)
    await eventually(lambda: one.shares("just_now", b"offline"), "all know")
    one.redis.zincrby(ClusterKeys().offline, -86_401, "long_ago")
    await one.kill()
    two = await make()
    await eventually(lambda: two.count("lost"), "the other one is counted")
    assert two.count("offline") == {"just_now"}


async def _online(instance: Instance, robot_id: str) -> Connection:
    """Connect a robot, and wait until all know."""
    connection = instance.connect(robot_id)
    await eventually(lambda: instance.shares(robot_id, b"online"), "all know")
    return connection


def _counted(*instances: Instance) -> list[str]:
    """Return the robots that the instances count as lost, each as often as it is counted."""
    return [robot for instance in instances for robot in instance.count("lost")]
