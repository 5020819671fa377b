"""A dead instance's connections are closed with `server_lost`, once, by a living one."""

import asyncio
import time

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from support.instances import beaten, closed, established, instances, reaped, stored_events
from support.polling import eventually
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess

Pair = tuple[ServiceProcess, ServiceProcess]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_survivor_closes_what_a_killed_instance_held(
    server: RedisServer, pair: Pair
) -> None:
    """Each connection once, in the handshake's trace, and it lasted until it was last seen."""
    for number in range(3):
        await _robot(pair[0], f"robot_{number}")
    await eventually(lambda: established(server).total() == 3, "all are in the stream")
    await beaten(server)
    killed = time.time()
    pair[0].process.kill()
    await eventually(lambda: closed(server) == established(server), "each is closed once")
    await reaped(server)
    assert closed(server) == established(server)
    by_id = {e["payload"]["connection_id"]: e for e in stored_events(server, OPENED)}
    for event in stored_events(server, CLOSED):
        opened = by_id[event["payload"]["connection_id"]]
        lasted = event["payload"]["disconnected_at"] - opened["payload"]["connected_at"]
        assert event["payload"]["reason"] == "server_lost"
        # The one is by Redis's clock, which is read within the time that an answer takes.
        assert event["payload"]["duration_seconds"] == pytest.approx(lasted, abs=0.2)
        assert lasted > 0
        assert event["payload"]["disconnected_at"] <= killed
        assert event["meta"]["correlation_id"] == opened["meta"]["correlation_id"] == TRACE
    told = pair[1].get("/api/telemetry/robots")
    assert {(r["status"], r["last_reason"]) for r in told} == {("offline", "server_lost")}
    assert len(pair[1].events(CLOSED)) == 3


async def test_the_same_service_after_a_restart_closes_them(server: RedisServer) -> None:
    """A single instance that was killed finds what it left when it is started again."""
    with instances(1, server.url) as (one,):
        await _robot(one, "robot_001")
        await eventually(lambda: established(server).total() == 1, "it is in the stream")
        one.process.kill()
    with instances(1, server.url):
        await eventually(lambda: closed(server) == established(server), "it is closed")


async def test_an_instance_that_slept_gives_up_what_was_declared_lost(
    server: RedisServer, pair: Pair
) -> None:
    """It closes the connections without a second event, and takes robots again at once."""
    robot = await _robot(pair[0], "robot_001")
    await eventually(lambda: established(server).total() == 1, "it is in the stream")
    await beaten(server)
    pair[0].pause()
    await eventually(lambda: closed(server).total() == 1, "the survivor closes it")
    pair[0].resume()
    with pytest.raises(ConnectionClosed) as caught:
        await asyncio.wait_for(robot.recv(), 5)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012
    again = await _robot(pair[0], "robot_001")
    await eventually(lambda: established(server).total() == 2, "it is back")
    await reaped(server)
    assert closed(server).total() == 1
    assert pair[0].events(CLOSED) == []
    assert [r["status"] for r in pair[1].get("/api/telemetry/robots")] == ["online"]
    await again.close()
    await eventually(lambda: closed(server) == established(server), "all are closed")


async def test_a_robot_that_left_a_sleeping_instance_is_closed_once(
    server: RedisServer, pair: Pair
) -> None:
    """The instance wakes up to a broken connection that others have closed: it says nothing."""
    robot = await _robot(pair[0], "robot_001")
    await eventually(lambda: established(server).total() == 1, "it is in the stream")
    pair[0].pause()
    robot.transport.abort()
    await eventually(lambda: closed(server).total() == 1, "the survivor closes it")
    pair[0].resume()
    await eventually(lambda: pair[0].get("/api/telemetry/info")["active_connections"] == 0, "gone")
    await reaped(server)
    assert closed(server) == established(server)
    assert pair[0].events(CLOSED) == []


OPENED = "telemetry.connection_established"
CLOSED = "telemetry.connection_closed"


async def _robot(instance: ServiceProcess, robot_id: str) -> ClientConnection:
    url = f"{instance.websocket}/api/telemetry/ws/{robot_id}"
    trace = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    robot = await connect(url, ping_interval=None, close_timeout=0.5, additional_headers=trace)
    await robot.send(READING)
    return robot
