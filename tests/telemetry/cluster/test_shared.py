"""State that one instance shares with the others, and its answers while Redis is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from charter_otel.charter import CloseReason
from charter_otel.redis.address import parse_address
from charter_otel.telemetry.cluster import Partition, PartitionedPresence, SharedPresence
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.takeover import Takeover
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet
from charter_otel.telemetry.frames import Frame
from charter_otel.telemetry.readings import take_reading
from charter_otel.testing import Capture
from support.polling import eventually
from support.redis import RedisServer

KEYS = ClusterKeys()

LEASE = 15.0
"""No heartbeat comes while a test runs, but the first."""


class Instance:
    """An instance without a service around it."""

    def __init__(self, url: str, lease: float) -> None:
        self.client = parse_address(url).client()
        self.fleet, self.connections = Fleet(), Connections()
        self.presence = SharedPresence(
            self.client, self.fleet, self.connections, _close, lease=lease
        )

    def connect(self, robot_id: str) -> Connection:
        """Accept a robot."""
        connection = Connection(robot_id)
        self.connections.add(connection)
        self.fleet.connected(connection)
        self.presence.opened(connection)
        return connection

    def read(self, connection: Connection, cpu: float, at: float) -> None:
        """Take a reading of a connected robot."""
        robot = self.fleet.get(connection.robot_id)
        assert robot is not None
        connection.seen()
        take_reading(robot, _frame(cpu, at), connection)

    async def cpu(self, robot_id: str) -> float | None:
        """Answer with the newest reading's."""
        reading = await self.presence.reading(robot_id)
        return reading["cpu_usage"] if reading else None

    async def statuses(self) -> dict[str, str]:
        """Answer with the presence of all robots."""
        return {each["robot_id"]: each["status"] for each in await self.presence.robots()}

    def disconnect(self, connection: Connection) -> None:
        """End a robot's connection."""
        self.connections.remove(connection)
        self.fleet.disconnected(connection, CloseReason.CLIENT_DISCONNECT, 1.0)
        self.presence.closed(connection)


async def _close(connection: Connection, _ended: float) -> None:
    raise AssertionError(f"{connection.id} has no need to be closed here")


Make = Callable[..., Instance]


@pytest.fixture
async def make(server: RedisServer) -> AsyncIterator[Make]:
    """Yield what makes an instance that works with the others."""
    async with AsyncExitStack() as stack:

        def make(lease: float = LEASE) -> Instance:
            instance = Instance(server.url, lease)
            stack.push_async_callback(instance.presence.stop)
            return instance

        yield make


async def test_a_stop_ends_though_redis_was_replaced(
    server: RedisServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no claims before the next heartbeat, which a stopping instance does not send."""
    one = make()
    await one.presence.start()
    await eventually(lambda: one.presence.connected, "it has joined")
    server.stop()
    server.start()
    await one.client.connection_pool.disconnect()
    one.connect("robot_001")
    takeover, claims = one.presence._takeover, []

    async def claim(member: Membership) -> list[Connection]:
        claims.append(member)
        assert len(claims) < 9, "it claims without end"
        return await Takeover.claim(takeover, member)

    monkeypatch.setattr(takeover, "claim", claim)
    await one.presence.stop()
    assert len(claims) == 1


async def test_a_heartbeat_comes_when_it_is_due(make: Make, server: RedisServer) -> None:
    """Changes are shared without one."""
    one = make(lease=300.0)
    await one.presence.start()
    await eventually(lambda: one.presence.connected, "it has joined")
    with server.client() as client:
        counted = client.hgetall(KEYS.instances)
        for robots in (1, 2, 3):
            one.connect(f"robot_{robots}")
            await eventually(partial(_shares, client, robots), "it is shared")
        assert client.hgetall(KEYS.instances) == counted


def _shares(client: Any, robots: int) -> bool:
    return bool(client.hlen(KEYS.presence) == robots)


async def test_a_reading_is_the_newest_of_all_instances(make: Make, server: RedisServer) -> None:
    """An instance's own, while the robot is there or its state not shared yet, or Redis away."""
    one, two = make(), make()
    first = one.connect("robot_001")
    one.read(first, 1.0, time.time() - 3)
    assert await one.cpu("robot_001") == 1.0
    one.disconnect(first)
    assert await one.cpu("robot_001") == 1.0
    await one.presence.start()
    await two.presence.start()
    await eventually_is(lambda: two.cpu("robot_001"), 1.0)
    second = two.connect("robot_001")
    two.read(second, 2.0, time.time() - 2)
    assert await two.cpu("robot_001") == 2.0
    await eventually_is(lambda: one.cpu("robot_001"), 2.0)
    two.read(second, 3.0, time.time() - 1)
    assert await two.cpu("robot_001") == 3.0, "though the others know an older one"
    two.disconnect(second)
    assert await two.cpu("robot_001") == 3.0
    await eventually_is(one.statuses, {"robot_001": "offline"})
    assert await one.cpu("robot_001") == 3.0
    assert await one.cpu("robot_002") is None
    server.kill()
    await eventually(lambda: not one.presence.connected, "it is known")
    assert await one.cpu("robot_001") == 1.0


async def test_while_redis_is_away_nobody_waits_for_it(
    make: Make, server: RedisServer, charter_capture: Capture
) -> None:
    """The answers are the instance's own, at once; one line says so, and one that it is over."""
    one, two = make(1.5), make(1.5)
    for instance in (one, two):
        await instance.presence.start()
    here = one.connect("robot_here")
    one.disconnect(one.connect("robot_left"))
    two.connect("robot_there")
    everybody = {"robot_here": "online", "robot_left": "offline", "robot_there": "online"}
    await eventually_is(one.statuses, everybody)
    await eventually(lambda: one.presence.members == 2, "they know each other")
    server.kill()
    gone = (one.presence, two.presence)
    await eventually(lambda: not any(each.connected for each in gone), "both know it")
    assert await one.statuses() == {"robot_here": "online", "robot_left": "offline"}
    one.read(here, 1.0, time.time())
    server.start()
    await eventually_is(one.statuses, everybody)
    await eventually_is(lambda: two.cpu("robot_here"), 1.0)
    told = [line["event"] for line in charter_capture.lines if "share presence" in line["event"]]
    assert told.count("instances cannot share presence") == 2
    assert told.count("instances share presence") == 4
    # Known to be away, it is not asked: it would answer by now.
    one.presence.connected = False
    assert await one.presence.everywhere() == {}


async def test_after_a_loss_of_redis_its_robots_are_claimed_again(
    make: Make, server: RedisServer
) -> None:
    """A takeover elsewhere finds the owner; one that left meanwhile stays out of the register."""
    one = make(lease=0.6)
    await one.presence.start()
    connection = one.connect("robot_001")
    await eventually(lambda: server.command("HGET", KEYS.owners, "robot_001"), "it is claimed")
    epoch = one.presence._claims.of(connection).epoch
    server.command("FLUSHALL")
    await eventually(lambda: server.command("HGET", KEYS.owners, "robot_001"), "claimed again")
    await eventually_is(one.statuses, {"robot_001": "online"})
    assert int(one.presence._claims.of(connection).epoch or 0) > int(epoch or 0)
    assert server.command("HEXISTS", KEYS.open, connection.id) == 1


async def test_the_partitions_of_a_fleet_are_one(server: RedisServer) -> None:
    """Each instance answers for the robots of all partitions; each robot is in one."""
    one, two = (_partitioned(server.url) for _ in range(2))
    for presence, _ in (one, two):
        await presence.start()
    connections = [Connection(f"robot_{number}") for number in range(9)]
    for connection in connections:
        take_reading(one[1].connected(connection), _frame(7.0, time.time()), connection)
        one[0].opened(connection)
        assert one[0]._owner(connection.id) is not None
    assert one[0]._owner("ws_robot_9_1") is None

    async def told() -> object:
        return sorted((each["robot_id"], each["status"]) for each in await two[0].robots())

    await eventually_is(told, [(connection.robot_id, "online") for connection in connections])
    # It knows the other one from its next heartbeat on.
    await eventually(lambda: two[0].members == 2, "both are known")
    assert [len(partition.connections) for partition in one[0]._partitions] == [4, 3, 2]
    for connection in connections:
        reading = await two[0].reading(connection.robot_id)
        assert reading is not None
        assert reading["cpu_usage"] == 7.0
        assert await one[0].owns_close(connection)
        one[1].disconnected(connection, CloseReason.CLIENT_DISCONNECT, time.time())
        one[0].closed(connection)
    await one[0].stop()
    await eventually_is(told, [(connection.robot_id, "offline") for connection in connections])
    await eventually(lambda: two[0].members == 1, "the other has left")
    await two[0].stop()


def _partitioned(url: str) -> tuple[PartitionedPresence, Fleet]:
    fleet, partitions = Fleet(), list[Partition]()
    for number in range(3):
        client, connections = parse_address(url).client(), Connections()
        prefix = f"{{charter:{number}}}"
        presence = SharedPresence(client, fleet, connections, _close, lease=1.5, prefix=prefix)
        partitions.append(Partition(connections, presence))
    return PartitionedPresence(fleet, partitions), fleet


def _frame(cpu: float, at: float) -> Frame:
    return Frame(
        cpu_usage=cpu, memory_usage=1, network_latency_ms=1, battery_percentage=1, timestamp=at
    )


async def eventually_is(answer: Callable[[], Awaitable[object]], expected: object) -> None:
    """Ask until the answer is the expected one."""
    deadline = time.monotonic() + 20
    while (told := await answer()) != expected:
        assert time.monotonic() < deadline, f"it still is {told}"
        await asyncio.sleep(0.01)
