"""Presence and readings are one truth, whichever instance is asked."""

from typing import Any

from websockets.asyncio.client import connect

from support.instances import instances
from support.polling import eventually
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
