"""Which connection of a robot is its newest: decided by Redis's clock, in any order of arrival."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from charter_otel.redis.address import parse_address
from charter_otel.redis.errors import FAILURES
from charter_otel.telemetry.cluster.claims import Claims
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.shared_state import SharedRobotState, SharedState, state_of
from charter_otel.telemetry.cluster.takeover import Takeover
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet, Robot
from charter_otel.telemetry.frames import Frame
from charter_otel.telemetry.readings import take_reading
from streams.proxy import Proxy

LEASE = 15.0


class Instance:
    """An instance's part in it."""

    def __init__(self, client: Redis) -> None:
        self.close = client.aclose
        self.member = Membership(client, ClusterKeys(), LEASE)
        self.claims, self.fleet = Claims(), Fleet()
        self.takeover = Takeover(client, ClusterKeys(), self.claims, self.fleet)
        self.state = SharedState(client, ClusterKeys())

    async def claim(self, connection: Connection) -> list[Connection]:
        """Claim a connection's robot, and give the connection if it is not the newest."""
        await self.member.renew()
        self.takeover.add(connection)
        return await self.takeover.claim(self.member)

    def epoch(self, connection: Connection) -> str:
        """Return the epoch of a claimed connection."""
        return self.claims.of(connection).epoch or ""

    async def connect(self, robot_id: str = "robot_001") -> tuple[Robot, Connection]:
        """Accept and claim a robot's connection."""
        connection = Connection(robot_id)
        robot = self.fleet.connected(connection)
        assert await self.claim(connection) == []
        return robot, connection

    async def share(self, robot: Robot, connection: Connection) -> None:
        """Share the robot with the others."""
        await self.state.write([state_of(robot, connection, self.epoch(connection))])

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


async def test_the_newest_connection_has_the_robot_and_the_other_instance_is_notified(
    make: Make,
) -> None:
    """The epoch grows, and the notice names the connection that lost."""
    one, two = make(), make()
    old, new = _connections()
    assert await one.claim(old) == []
    assert await two.claim(new) == []
    assert int(two.epoch(new)) > int(one.epoch(old)) > 0
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
    epoch = one.epoch(connection)
    one.claims.of(connection).epoch = None
    assert await one.claim(connection) == []
    assert one.epoch(connection) == epoch
    assert await one.lost() == []


async def test_no_notice_is_lost_with_an_answer(make: Make, redis_url: str) -> None:
    """Notices that the instance did not get come again when it asks; those it got do not."""
    other = make()
    async with Proxy(urlsplit(redis_url).port or 0).running() as proxy:
        one = Instance(parse_address(proxy.url).client())
        first = [Connection(f"robot_{number}") for number in range(3)]
        for connection in first:
            await one.claim(connection)
        superseded = [await _lost_after(one, other, robot) for robot in ("robot_0", "robot_1")]
        proxy.lose_replies_to = b"LRANGE"
        with pytest.raises(FAILURES):
            await _lost_after(one, other, "robot_2")
        assert [*superseded, await one.lost()] == [[connection.id] for connection in first]
        assert await one.lost() == []
        await one.close()


async def _lost_after(one: Instance, other: Instance, robot_id: str) -> list[str]:
    """Let another instance take a robot over, and return what the first one learns of it."""
    newer = Connection(robot_id)
    newer.opened += 1.0
    assert await other.claim(newer) == []
    return await one.lost()


async def test_an_epoch_grows_though_redis_s_clock_was_set_back(make: Make, redis_url: str) -> None:
    """An epoch from the future is followed by a greater one, or the newest would not be heard."""
    one = make()
    ahead = "9000000000000000"
    client = parse_address(redis_url).client()
    held: Any = client.hset(ClusterKeys().owners, "robot_001", f"{ahead} 1.000000 gone ws_1")
    await held
    connection = Connection("robot_001")
    assert await one.claim(connection) == []
    assert int(one.epoch(connection)) == int(ahead) + 1
    await client.aclose()


async def _fail_over(redis_url: str, ahead: float) -> None:
    """Make the record of a robot one of another server, whose clock was so far ahead."""
    async with Redis.from_url(redis_url) as client:
        found: Any = client.hget(ClusterKeys().owners, "robot_001")
        epoch, since, instance, holder = (await found).decode().split()
        accepted = float(since.partition("@")[0]) + ahead
        record = f"{epoch} {accepted:.6f}@former {instance} {holder}"
        changed: Any = client.hset(ClusterKeys().owners, "robot_001", record)
        await changed


async def test_the_clock_of_a_former_server_keeps_no_robot_out(make: Make, redis_url: str) -> None:
    """A robot that comes back after a fail-over is served, though that clock was an hour ahead."""
    one, two = make(), make()
    old, new = _connections()
    assert await one.claim(old) == []
    await _fail_over(redis_url, ahead=3_600)
    assert await two.claim(new) == []
    assert int(two.epoch(new)) > int(one.epoch(old))


async def test_after_a_fail_over_epochs_decide_between_connections_that_had_one(
    make: Make, redis_url: str
) -> None:
    """An instance that claims its connections anew does not take back a robot that moved."""
    one, two = make(), make()
    old, new = _connections()
    assert await one.claim(old) == []
    assert await two.claim(new) == []
    await _fail_over(redis_url, ahead=-3_600)
    one.claims.of(old).renew()
    assert await one.claim(old) == [old]
    two.claims.of(new).renew()
    assert await two.claim(new) == []


async def test_nothing_is_decided_before_the_new_server_s_clock_is_known(make: Make) -> None:
    """The claim waits for the next heartbeat."""
    one = make()
    connection = Connection("robot_001")
    await one.member.renew()
    one.member._server = b"former"
    one.takeover.add(connection)
    assert await one.takeover.claim(one.member) == []
    assert (len(one.takeover), one.epoch(connection)) == (1, "")
    assert await one.claim(connection) == []
    assert (len(one.takeover), one.epoch(connection) > "") == (0, True)


async def test_a_robot_that_reconnects_during_a_claim_is_claimed_again(make: Make) -> None:
    """Its newer connection waits for the next claim: it is not taken for the one under way."""
    one = make()
    old, new = _connections()
    await one.member.renew()
    one.takeover.add(old)
    claiming = asyncio.create_task(one.takeover.claim(one.member))
    await asyncio.sleep(0)
    one.takeover.add(new)
    await claiming
    assert len(one.takeover) == 1
    assert await one.takeover.claim(one.member) == []
    assert int(one.epoch(new)) > int(one.epoch(old))


async def test_a_robot_that_came_back_is_not_among_the_offline_ones(
    make: Make, redis_url: str
) -> None:
    """Else it would be the first to be forgotten, though it is connected."""
    one = make()
    connection = Connection("robot_001")
    await one.claim(connection)
    client: Any = parse_address(redis_url).client()
    for status in ("offline", "online"):
        await one.state.write([_state(connection, status, one.epoch(connection))])
    assert await client.zscore(ClusterKeys().offline, "robot_001") is None
    await client.aclose()


async def test_a_backlog_on_another_instance_changes_nothing_live(make: Make) -> None:
    """The instance learns with its claim what the robot told before, by the robot's own clock."""
    one, two = make(), make()
    robot, connection = await one.connect()
    take_reading(robot, _reading(1_000.0, battery=80), connection)
    await one.share(robot, connection)
    robot, connection = two.fleet.connected(newer := Connection("robot_001")), newer
    take_reading(robot, _reading(400.0, battery=11), connection)
    assert await two.claim(connection) == []
    assert robot.metrics()["battery_percentage"] == 80
    assert take_reading(robot, _reading(500.0, battery=12), connection) == "late"
    await two.share(robot, connection)
    assert await _stored(two) == (80, 1_000.0)
    assert take_reading(robot, _reading(1_001.0, battery=79), connection) == "new"
    await two.share(robot, connection)
    assert await _stored(two) == (79, 1_001.0)


async def test_no_two_machines_clocks_decide_which_reading_is_newer(make: Make) -> None:
    """A reading dated by a fast clock is older than one of a newer connection."""
    one, two = make(), make()
    robot, connection = await one.connect()
    take_reading(robot, _reading(None, battery=80), connection)
    robot.updated_at += 3_600
    await one.share(robot, connection)
    robot, connection = await two.connect()
    assert take_reading(robot, _reading(1_000.0, battery=70), connection) == "new"
    await two.share(robot, connection)
    assert await _stored(one) == (70, 1_000.0)


async def test_the_last_reading_before_a_move_is_kept(make: Make) -> None:
    """The old instance tells it after the takeover; it counts until the new connection's first."""
    one, two = make(), make()
    robot, connection = await one.connect()
    take_reading(robot, _reading(1_000.0, battery=80), connection)
    there, newer = await two.connect()
    await one.share(robot, connection)
    assert await _stored(two) == (80, 1_000.0)
    take_reading(there, _reading(1_001.0, battery=79), newer)
    await two.share(there, newer)
    await one.share(robot, connection)
    assert await _stored(one) == (79, 1_001.0)


async def _stored(instance: Instance) -> tuple[float, float]:
    """Return battery and time of the reading that all instances see."""
    reading = await instance.state.reading("robot_001")
    assert reading is not None
    return reading["battery_percentage"], reading["updated_at"]


def _reading(timestamp: float | None, battery: float) -> Frame:
    return Frame(
        cpu_usage=30,
        memory_usage=50,
        network_latency_ms=5,
        battery_percentage=battery,
        timestamp=timestamp,
    )


async def test_only_the_newest_connection_counts(make: Make, redis_url: str) -> None:
    """States that an old connection's instance writes with its old epoch change nothing."""
    one, two = make(), make()
    old, new = _connections()
    await one.claim(old)
    await two.claim(new)
    client = parse_address(redis_url).client()
    shared = SharedState(client, ClusterKeys())
    try:
        assert await shared.write([_state(new, "online", two.epoch(new))]) == 1
        assert await shared.write([_state(old, "offline", one.epoch(old))]) == 0
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
    shared = SharedState(client, ClusterKeys(), capacity=4)
    try:
        await shared.write([_state(connections[0], "online", one.epoch(connections[0]))])
        for c in connections[1:]:
            await shared.write([_state(c, "offline", one.epoch(c), at=c.opened)])
        assert set(await shared.presence()) == {"robot_0", "robot_3", "robot_4", "robot_5"}
    finally:
        await client.aclose()


def _connections() -> tuple[Connection, Connection]:
    old, new = Connection("robot_001"), Connection("robot_001")
    old.opened -= 1
    return old, new


def _state(
    connection: Connection, status: str, epoch: str, *, at: float | None = None
) -> SharedRobotState:
    fleet, connections = Fleet(), Connections()
    connections.add(connection)
    presence = fleet.connected(connection).presence()
    told = presence | {"status": status, "disconnected_at": at or 1.0, "frames": 0}
    return SharedRobotState(connection.robot_id, epoch, told)
