"""Presence and readings are one truth, whichever instance is asked."""

import asyncio
import time
from typing import Any

from redis.asyncio import Redis
from websockets.asyncio.client import connect

from charter_otel.charter import CloseReason
from charter_otel.telemetry.cluster import SharedPresence
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet
from support.instances import instances
from support.polling import eventually
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess


async def test_presence_and_readings_are_the_same_on_each_instance(redis_url: str) -> None:
    """A robot's reading at one instance is read from the other, while it is connected and after."""
    with instances(2, redis_url) as (one, two):
        async with connect(f"{one.websocket}/api/telemetry/ws/robot_001") as robot:
            await robot.send(READING)
            await eventually(lambda: _agreed(one, two, "online"), "the same presence")
            await eventually(lambda: _reading(two), "the reading on the other instance")
            assert _reading(one) == _reading(two)
        await eventually(lambda: _agreed(one, two, "offline"), "the robot is offline on both")
        assert _reading(one) == _reading(two)


async def test_each_instance_knows_how_many_share_the_robots(server: RedisServer) -> None:
    """The board tells a number of one instance from a number of all; one that stops is gone."""
    with instances(2, server.url) as (one, two):
        await eventually(lambda: _instances(one) == _instances(two) == 2, "they know each other")
        await asyncio.to_thread(two.stop)
        await eventually(lambda: _instances(one) == 1, "the other has left")


def _instances(instance: ServiceProcess) -> Any:
    return instance.get("/api/board")["instances"]


def _agreed(one: ServiceProcess, two: ServiceProcess, status: str) -> bool:
    here, there = _robots(one), _robots(two)
    return here == there and [robot["status"] for robot in here] == [status]


def _robots(instance: ServiceProcess) -> Any:
    return instance.get("/api/telemetry/robots")


def _reading(instance: ServiceProcess) -> Any:
    try:
        return instance.get("/api/telemetry/robots/robot_001/metrics")
    except OSError:
        return None


def _shared(server: RedisServer, status: str) -> int:
    return str(server.command("HVALS", "{charter}:presence")).count(f'"{status}"')


async def test_a_robot_that_left_here_and_is_elsewhere_is_offline_nowhere(
    server: RedisServer,
) -> None:
    """Instances count the robots that left them; one that moved is in no count."""

    async def close(_: Connection, __: float) -> None:
        raise AssertionError

    fleets, connections = (Fleet(), Fleet()), (Connections(), Connections())
    both = [
        SharedPresence(Redis.from_url(server.url), fleet, open_, close, lease=1.0)
        for fleet, open_ in zip(fleets, connections, strict=True)
    ]
    for one in both:
        await one.start()
    at_first, stays = Connection("robot_moves"), Connection("robot_stays")
    for connection in (at_first, stays):
        connections[0].add(connection)
        fleets[0].connected(connection)
        both[0].opened(connection)
    await eventually(lambda: _shared(server, "online") == 2, "known everywhere")
    for connection in (at_first, stays):
        connections[0].remove(connection)
        fleets[0].disconnected(connection, CloseReason.CLIENT_DISCONNECT, time.time())
        both[0].closed(connection)
    await eventually(lambda: _shared(server, "offline") == 2, "known to have left")
    assert fleets[0].offline == 2
    then = Connection("robot_moves")
    connections[1].add(then)
    fleets[1].connected(then)
    both[1].opened(then)
    await eventually(lambda: fleets[0].offline == 1, "the one that moved is not counted here")
    assert [robot.robot_id for robot in fleets[0].gone()] == ["robot_stays"]
    for one in both:
        await one.stop()
