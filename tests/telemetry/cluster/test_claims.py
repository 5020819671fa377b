"""Which connection of a robot is its newest: decided by Redis's clock, in any order of arrival."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from charter_otel.redis.address import parse_address
from charter_otel.redis.errors import FAILURES
from charter_otel.telemetry.cluster.keys import Layout
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.shared_state import SharedState, State
from charter_otel.telemetry.cluster.takeover import Takeover
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet
from streams.proxy import Proxy

LEASE = 15.0


class Instance:
    """An instance's part in it."""

    def __init__(self, client: Redis) -> None:
        self.close = client.aclose
        self.member = Membership(client, Layout(), LEASE)
        self.takeover = Takeover(client, Layout())

    async def claim(self, connection: Connection) -> list[Connection]:
        """Claim a connection's robot, and give the connection if it is not the newest."""
        await self.member.renew()
        self.takeover.add(connection)
        return await self.takeover.claim(self.member)

    async def lost(self) -> list[str]:
        """Return the connections that were superseded elsewhere."""
        return list(await self.takeover.lost(self.member.id))


Make = Callable[[], Instance]


@pytest.fixture
async def make(redis_url: str) -> AsyncIterator[Make]:
    """Yield what makes an instance's takeover."""
    async with AsyncExitStack() as stack:

        def make() -> Instance:
            client = parse_address(redis_url).client()
            stack.push_async_callback(client.aclose)
            return Instance(client)

        yield make


async def test_the_newest_connection_has_the_robot_and_the_other_instance_hears_of_it(
    make: Make,
) -> None:
    """The epoch grows, and the letter names the connection that lost."""
    one, two = make(), make()
    old, new = _connections()
    assert await one.claim(old) == []
    assert await two.claim(new) == []
    assert int(new.epoch or 0) > int(old.epoch or 0) > 0
    assert await one.lost() == [old.id]
    assert await one.lost() == []
    assert await two.lost() == []


async def test_a_claim_that_comes_late_loses_to_a_newer_connection(make: Make) -> None:
    """An instance that was cut off does not win because it comes last."""
    one, two = make(), make()
    old, new = _connections()
    assert await two.claim(new) == []
    assert await one.claim(old) == [old]
    assert await two.lost() == []


async def test_clocks_of_instances_do_not_matter(make: Make) -> None:
    """A connection that an instance with a fast clock accepted first is the older one."""
    one, two = make(), make()
    old, new = _connections()
    old.connected_at += 3_600
    await one.claim(old)
    assert await two.claim(new) == []
    assert await one.lost() == [old.id]


async def test_a_claim_whose_reply_was_lost_may_be_repeated(make: Make) -> None:
    """The repetition gets the same epoch and takes over nobody."""
    one = make()
    connection = Connection("robot_001")
    await one.claim(connection)
    epoch, connection.epoch = connection.epoch, None
    assert await one.claim(connection) == []
    assert connection.epoch == epoch
    assert await one.lost() == []


async def test_no_letter_is_lost_with_an_answer(make: Make, redis_url: str) -> None:
    """What the instance did not hear, it hears when it asks again; what it heard, it does not."""
    other = make()
    async with Proxy(urlsplit(redis_url).port or 0).running() as proxy:
        one = Instance(parse_address(proxy.url).client())
        first = [Connection(f"robot_{number}") for number in range(3)]
        for connection in first:
            await one.claim(connection)
        heard = [await _heard_after(one, other, robot) for robot in ("robot_0", "robot_1")]
        proxy.lose_replies_to = b"LRANGE"
        with pytest.raises(FAILURES):
            await _heard_after(one, other, "robot_2")
        assert [*heard, await one.lost()] == [[connection.id] for connection in first]
        assert await one.lost() == []
        await one.close()


async def _heard_after(one: Instance, other: Instance, robot_id: str) -> list[str]:
    """Have another instance take a robot over, and give what the one hears."""
    newer = Connection(robot_id)
    newer.opened += 1.0
    assert await other.claim(newer) == []
    return await one.lost()


async def test_only_the_newest_connection_is_heard(make: Make, redis_url: str) -> None:
    """What an old connection's instance tells with its old epoch changes nothing."""
    one, two = make(), make()
    old, new = _connections()
    await one.claim(old)
    await two.claim(new)
    client = parse_address(redis_url).client()
    shared = SharedState(client, Layout())
    try:
        assert await shared.write([_state(new, "online")]) == 1
        assert await shared.write([_state(old, "offline")]) == 0
        assert (await shared.presence())["robot_001"]["status"] == "online"
    finally:
        await client.aclose()


async def test_only_so_many_robots_are_known(make: Make, redis_url: str) -> None:
    """Beyond the capacity those that have been offline longest go, and no robot that is online."""
    one = make()
    connections = [Connection(f"robot_{number}") for number in range(6)]
    for connection in connections:
        await one.claim(connection)
    client = parse_address(redis_url).client()
    shared = SharedState(client, Layout(), capacity=4)
    try:
        await shared.write([_state(connections[0], "online")])
        for connection in connections[1:]:
            await shared.write([_state(connection, "offline", at=connection.opened)])
        assert set(await shared.presence()) == {"robot_0", "robot_3", "robot_4", "robot_5"}
    finally:
        await client.aclose()


def _connections() -> tuple[Connection, Connection]:
    old, new = Connection("robot_001"), Connection("robot_001")
    old.opened -= 1
    return old, new


def _state(connection: Connection, status: str, *, at: float | None = None) -> State:
    fleet, connections = Fleet(), Connections()
    connections.add(connection)
    presence = fleet.connected(connection).presence()
    told = presence | {"status": status, "disconnected_at": at or 1.0, "frames": 0}
    return State(connection.robot_id, connection.epoch or "", told)
