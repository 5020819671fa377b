"""A robot has one connection, whatever instances it knocks at: the newest wins."""

import asyncio

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from support.instances import closed, established, reaped, stored_events
from support.polling import eventually
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess

Pair = tuple[ServiceProcess, ServiceProcess]


async def test_a_robot_that_reconnects_elsewhere_is_taken_over(
    server: RedisServer, pair: Pair
) -> None:
    """The old connection is closed with 4409, its event tells why, and the robot stays online."""
    old = await _robot(pair[0])
    await eventually(lambda: _online(pair), "online everywhere")
    new = await _robot(pair[1])
    assert await _close_code(old) == 4409
    await eventually(lambda: closed(server).total() == 1, "the old one's event")
    (event,) = stored_events(server, "telemetry.connection_closed")
    assert event["payload"]["reason"] == "superseded"
    assert [e["payload"]["reason"] for e in pair[0].events("telemetry.connection_closed")] == [
        "superseded"
    ]
    await eventually(lambda: _online(pair), "still online everywhere")
    await new.send(READING)
    await new.close()
    await eventually(lambda: not _online(pair), "offline at last")


async def test_a_late_close_never_marks_a_live_robot_offline(
    server: RedisServer, pair: Pair
) -> None:
    """The old instance sleeps while the robot moves; what it says afterwards is not heard."""
    old = await _robot(pair[0])
    await eventually(lambda: _online(pair), "online everywhere")
    pair[0].pause()
    new = await _robot(pair[1])
    old.transport.abort()
    await eventually(lambda: established(server).total() == 2, "it is in the stream")
    pair[0].resume()
    await eventually(lambda: closed(server).total() == 1, "the old one's event")
    await reaped(server)
    assert _online(pair)
    assert closed(server).total() == 1
    await new.close()


async def test_with_redis_away_a_robot_is_accepted_and_claimed_later(
    server: RedisServer, pair: Pair
) -> None:
    """Robots that come while Redis is down are served; afterwards the newest connection wins."""
    server.kill()
    old = await _robot(pair[0])
    await eventually(lambda: _statuses(pair[0]) == ["online"], "it is served")
    new = await _robot(pair[1])
    await new.send(READING)
    assert _statuses(pair[1]) == ["online"]
    server.start()
    assert await _close_code(old) == 4409
    await eventually(lambda: established(server).total() == 2, "both were established")
    await eventually(lambda: closed(server).total() == 1, "one was closed")
    await eventually(lambda: _online(pair), "online everywhere")
    await new.close()


async def _robot(instance: ServiceProcess) -> ClientConnection:
    url = f"{instance.websocket}/api/telemetry/ws/robot_001"
    return await connect(url, ping_interval=None, close_timeout=0.5)


def _statuses(instance: ServiceProcess) -> list[str]:
    return [robot["status"] for robot in instance.get("/api/telemetry/robots")]


def _online(pair: Pair) -> bool:
    """Return whether both instances say that the robot is online, on the same connection."""
    told = [instance.get("/api/telemetry/robots") for instance in pair]
    shown = [[(robot["status"], robot["connection_id"]) for robot in robots] for robots in told]
    return shown[0] == shown[1] and [status for status, _ in shown[0]] == ["online"]


async def _close_code(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as caught:
        await asyncio.wait_for(client.recv(), 8)
    return caught.value.rcvd.code if caught.value.rcvd else None
