"""Connections that dead instances left open: any instance finds them, one closes them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from charter_otel.redis.address import parse_address
from charter_otel.redis.errors import FAILURES
from charter_otel.telemetry.cluster.adoption import Adoption
from charter_otel.telemetry.cluster.claims import Claims
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.reaper import Reaper
from charter_otel.telemetry.cluster.register import NOBODY, Details, entry
from charter_otel.telemetry.cluster.shared_state import SharedRobotState, SharedState
from charter_otel.telemetry.cluster.takeover import Takeover
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Fleet
from streams.proxy import Proxy
from support.fake_time import StoppedClock

LEASE = 0.3


@dataclass
class Instance:
    """An instance's part in it."""

    client: Redis
    closed: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.member = Membership(self.client, ClusterKeys(), LEASE)
        self.claims = Claims()
        self.takeover = Takeover(self.client, ClusterKeys(), self.claims, Fleet())
        self.state = SharedState(self.client, ClusterKeys())
        adoption = Adoption(self.client, ClusterKeys(), self.member, Fleet())
        parts = self.client, ClusterKeys(), self.member, self.state, self._close
        self.reaper = Reaper(*parts, adoption=adoption)

    async def hold(self, robot_id: str, *, since: float = 0.0, apart: float = 0.0) -> Connection:
        """Connect a robot for so many seconds, by a wall clock that is set apart."""
        connection = Connection(robot_id)
        connection.opened -= since
        connection.connected_at += apart - since
        connection.frames = 7
        accepted = self.member.on_common_clock(connection.opened)
        details = Details(robot_id, connection.connected_at, accepted=accepted)
        value = entry(self.member.id, details)
        await _hset(self.client, ClusterKeys().open, connection.id, value)
        self.takeover.add(connection)
        await self.takeover.claim(self.member)
        await self.state.write([self.online(connection)])
        return connection

    def online(self, connection: Connection) -> SharedRobotState:
        """Return the state in which the connection's robot is online."""
        presence = Fleet().connected(connection).presence()
        epoch = self.claims.of(connection).epoch or ""
        return SharedRobotState(connection.robot_id, epoch, presence | {"frames": 7})

    async def let_go(self, connection: Connection) -> None:
        """Close a robot's connection, as it should."""
        online = self.online(connection)
        presence = online.presence | {
            "status": "offline",
            "disconnected_at": 1.0,
            "last_reason": "client_disconnect",
        }
        await self.state.write([online._replace(presence=presence)])
        removed: Any = self.client.hdel(ClusterKeys().open, connection.id)
        await removed

    async def _close(self, connection: Connection, ended: float) -> None:
        del ended
        await asyncio.sleep(0)
        self.closed.append(connection)


Three = tuple[Instance, Instance, Instance]


@pytest.fixture
async def three(redis_url: str) -> AsyncIterator[Three]:
    """Yield two instances that live, and one that will not send another heartbeat."""
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(_at(redis_url)) for _ in range(3)]
        yield one, two, three


async def test_each_connection_is_closed_by_one_survivor(three: Three) -> None:
    """However many look at the same time, also where their turns overlap."""
    one, two, dead = three
    held = [await dead.hold(f"robot_{number}") for number in range(250)]
    await _declare_lost(one, two)
    await one.client.delete(ClusterKeys().reaper)
    first = asyncio.create_task(one.reaper.reap())
    while not await one.client.delete(ClusterKeys().reaper):  # noqa: ASYNC110 - Redis cannot tell
        await asyncio.sleep(0)
    await asyncio.gather(first, two.reaper.reap())
    closed = [connection.id for connection in one.closed + two.closed]
    assert sorted(closed) == sorted(connection.id for connection in held)
    assert {connection.frames for connection in one.closed + two.closed} == {7}


async def test_one_look_finds_the_orphans_among_thousands(three: Three) -> None:
    """However many connections of living instances are registered beside them."""
    one, two, dead = three
    for number in range(20):
        await dead.hold(f"robot_{number}")
    value = entry(two.member.id, Details("robot", time.time()))
    living: Any = {f"ws_robot_{number}": value for number in range(4_000)}
    written: Any = one.client.hset(ClusterKeys().open, mapping=living)
    await written
    await _declare_lost(one, two)
    assert await one.reaper.reap() == 20


async def test_the_turn_is_kept_from_look_to_look(three: Three) -> None:
    """Another instance would have to wait anew for owners that it does not know."""
    one, _, _ = three
    assert [await one.reaper._is_my_turn() for _ in range(3)] == [True, True, True]


async def test_the_clock_of_a_dead_instance_decides_no_duration(three: Three) -> None:
    """However far it was set apart, its connections lasted as long as Redis's clock says."""
    one, two, dead = three
    held = [await dead.hold(f"robot_{n}", since=5.0, apart=n * 3600) for n in (-1, 0, 1)]
    await _declare_lost(one, two)
    await one.reaper.reap()
    lasted = {connection.id: connection.duration for connection in one.closed}
    assert lasted == {connection.id: pytest.approx(5.0, abs=1.0) for connection in held}


async def test_a_robot_that_left_before_its_instance_did_stays_as_it_left(
    three: Three, clock: StoppedClock
) -> None:
    """Its presence tells the reason that it had: nothing was lost, except what did not leave."""
    one, _, leaving = three
    connection, stays = await leaving.hold("robot_001"), await leaving.hold("robot_002")
    await leaving.let_go(connection)
    await leaving.member.leave()
    assert await one.reaper.reap() == 0
    clock.now += LEASE
    assert await one.reaper.reap() == 1
    assert [connection.id for connection in one.closed] == [stays.id]
    presence = (await one.state.presence())["robot_001"]
    assert (presence["status"], presence["last_reason"]) == ("offline", "client_disconnect")


async def test_an_instance_that_just_starts_gets_its_lease_from_each_reaper(
    three: Three, clock: StoppedClock
) -> None:
    """A reaper that regains its turn waits anew for owners that it does not know."""
    one, _, _ = three
    details = Details("robot_001", time.time())
    await _hset(one.client, ClusterKeys().open, "ws_1", entry("unknown", details))
    await one.reaper.reap()
    await one.client.set(ClusterKeys().reaper, "another")
    await one.reaper.reap()
    clock.now += LEASE
    await one.client.delete(ClusterKeys().reaper)
    assert await one.reaper.reap() == 0
    clock.now += LEASE * 0.99
    assert await one.reaper.reap() == 0
    clock.now += LEASE * 0.02
    assert await one.reaper.reap() == 1


async def test_a_turn_that_would_never_expire_gets_an_expiry(three: Three) -> None:
    """Written by hand, or restored without one: orphans are closed all the same."""
    one, two, dead = three
    held = await dead.hold("robot_001")
    await _declare_lost(one, two)
    await one.client.set(ClusterKeys().reaper, "nobody")
    async with asyncio.timeout(20):
        while not one.closed:
            await one.member.renew()
            await one.reaper.reap()
            await asyncio.sleep(LEASE / 5)
    assert [connection.id for connection in one.closed] == [held.id]


async def test_an_instance_that_only_slept_cannot_reopen_its_connections(three: Three) -> None:
    """Its robot is offline until it connects again, whatever state the sleeper still writes."""
    one, two, sleeper = three
    connection = await sleeper.hold("robot_001")
    await _declare_lost(one, two)
    await one.reaper.reap()
    assert await sleeper.state.write([sleeper.online(connection)]) == 0
    presence = (await one.state.presence())["robot_001"]
    assert (presence["status"], presence["last_reason"]) == ("offline", "server_lost")


async def test_a_robot_that_went_on_elsewhere_stays_online(three: Three) -> None:
    """Its old connection is closed; its presence is the new connection's."""
    one, two, dead = three
    old = await dead.hold("robot_001", since=1.0)
    new = await two.hold("robot_001")
    await _declare_lost(one, two)
    await one.reaper.reap()
    assert [connection.id for connection in one.closed] == [old.id]
    presence = (await one.state.presence())["robot_001"]
    assert (presence["status"], presence["connection_id"]) == ("online", new.id)


async def test_connections_that_a_dead_reaper_took_are_taken_again(three: Three) -> None:
    """A survivor that dies before its event is in the stream leaves an orphan like any other."""
    one, two, dead = three
    held = await dead.hold("robot_001")
    await _declare_lost(one, two)
    await one.reaper.reap()
    await one.member.leave()
    await two.client.delete(ClusterKeys().reaper)
    deadline = time.monotonic() + 20 * LEASE
    while not two.closed and time.monotonic() < deadline:
        await two.member.renew()
        await two.reaper.reap()
        await asyncio.sleep(LEASE / 3)
    assert [connection.id for connection in two.closed] == [held.id]


@pytest.mark.parametrize("lost", ["take", "share"])
async def test_a_takeover_whose_reply_was_lost_is_finished(
    three: Three, redis_url: str, lost: str
) -> None:
    """Nobody else would do it: the connection belongs to an instance that lives."""
    _, two, dead = three
    held = await dead.hold("robot_001")
    async with Proxy(urlsplit(redis_url).port or 0).running() as proxy, _at(proxy.url) as one:
        await _declare_lost(one, two)
        proxy.lose_replies_to = await _digest(one.client, lost)
        with pytest.raises(FAILURES):
            await one.reaper.reap()
        assert not one.closed
        assert await one.reaper.reap() == 1
        assert await one.reaper.reap() == 0
        assert [connection.id for connection in one.closed] == [held.id]
        presence = (await two.state.presence())["robot_001"]
        assert (presence["status"], presence["last_reason"]) == ("offline", "server_lost")


async def test_a_robot_whose_connection_the_stream_does_not_know_goes_offline(
    three: Three,
) -> None:
    """Its instance died before it published the opening, or before it told of the closing."""
    one, two, dead = three
    await dead.hold("robot_001")
    living = await two.hold("robot_002")
    await one.client.delete(ClusterKeys().open)
    await _declare_lost(one, two)
    assert await one.reaper.reap() == 1
    assert await one.reaper.reap() == 0
    assert not one.closed
    told = await one.state.presence()
    assert (told["robot_001"]["status"], told["robot_001"]["last_reason"]) == (
        "offline",
        "server_lost",
    )
    assert told["robot_002"]["connection_id"] == living.id
    assert told["robot_002"]["status"] == "online"


async def test_an_owner_that_is_not_known_yet_gets_time_to_join(
    three: Three, clock: StoppedClock
) -> None:
    """An instance that starts while Redis is away may publish before it joins."""
    one, _, _ = three
    value = entry(NOBODY, Details("robot_001", time.time()))
    await _hset(one.client, ClusterKeys().open, "ws_robot_001_1", value)
    assert await one.reaper.reap() == 0
    clock.now += LEASE
    assert await one.reaper.reap() == 1


async def test_an_entry_that_cannot_be_read_is_left_alone(three: Three) -> None:
    """It holds up none of the others."""
    one, two, dead = three
    held = await dead.hold("robot_001")
    await _hset(one.client, ClusterKeys().open, "broken", "nobody\n{")
    await _declare_lost(one, two)
    await one.reaper.reap()
    assert [connection.id for connection in one.closed] == [held.id]


@asynccontextmanager
async def _at(url: str) -> AsyncIterator[Instance]:
    """Yield an instance that lives."""
    client = parse_address(url).client()
    try:
        instance = Instance(client)
        await instance.member.renew()
        yield instance
    finally:
        await client.aclose()


async def _digest(client: Redis, name: str) -> bytes:
    """Return what a call of a script contains; Redis has the script from now on."""
    text = files("charter_otel.telemetry.cluster").joinpath(f"{name}.lua").read_text()
    loaded: Any = client.script_load(text)
    await loaded
    return sha1(text.encode(), usedforsecurity=False).hexdigest().encode()


async def _declare_lost(*watching: Instance) -> None:
    """Let the living ones watch until nobody else counts as an instance any more."""
    client: Any = watching[0].client
    living = {instance.member.id.encode() for instance in watching}
    async with asyncio.timeout(20):
        while set(await client.hkeys(ClusterKeys().instances)) != living:
            for instance in watching:
                await instance.member.renew()
            await asyncio.sleep(LEASE / 5)
            for instance in watching:
                await instance.member.declare_lost()


async def _hset(client: Redis, key: str, field_: str, value: str) -> None:
    written: Any = client.hset(key, field_, value)
    await written
