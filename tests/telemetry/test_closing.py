"""Every way in which a connection ends, under each supported WebSocket server."""

import asyncio
import os
import signal
import sys
from typing import Any, ClassVar

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from charter_otel.charter import CloseReason, Event
from charter_otel.telemetry import Limits, session
from charter_otel.telemetry.router import get_robots, telemetry_websocket
from support.polling import eventually
from support.robots import READING, Robots


async def test_a_close_frame_with_a_code_is_a_client_disconnect(robots: Robots) -> None:
    """A robot that closes with code 1001 disconnected by itself."""
    client = await robots.connect()
    await client.close(1001, "going for a charge")
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "client_disconnect"
    assert closed.payload["connection_id"] == robots.established[0].payload["connection_id"]


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1009, 1011, 1012, 3000, 4409, 4429])
async def test_the_side_that_closes_first_decides(robots: Robots, code: int) -> None:
    """A robot that closes disconnected by itself, also with a code that the service uses."""
    client = await robots.connect()
    await client.close(code)
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "client_disconnect"


async def test_a_close_frame_without_a_code_is_a_client_disconnect(robots: Robots) -> None:
    """A close frame may be empty; that is not a lost connection."""
    client = await robots.connect()
    client.transport.write(b"\x88\x80\x00\x00\x00\x00")
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "client_disconnect"


@pytest.mark.parametrize("way", ["abort", "close"])
async def test_a_broken_tcp_connection_is_a_lost_connection(robots: Robots, way: str) -> None:
    """A connection that breaks without a close frame is lost, by RST as by FIN."""
    client = await robots.connect()
    getattr(client.transport, way)()
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "connection_lost"


async def test_a_silent_robot_runs_into_the_heartbeat_timeout(robots: Robots) -> None:
    """A robot whose process is stopped keeps its TCP connection but sends no frame."""
    robots.gateway.limits = Limits(heartbeat_timeout=0.5)
    url = f"ws://{robots.address}/api/telemetry/ws/robot_001"
    script = f"from websockets.sync.client import connect\nc = connect({url!r})\nc.recv()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await eventually(lambda: robots.established, "the robot is connected")
        os.kill(process.pid, signal.SIGSTOP)
        (closed,) = await robots.closings()
    finally:
        process.kill()
        await process.wait()
    assert closed.payload["reason"] == "heartbeat_timeout"
    assert closed.payload["duration_seconds"] >= 0.5


async def test_frames_keep_a_connection_alive(robots: Robots) -> None:
    """Any frame postpones the heartbeat timeout, a ping as well as a reading."""
    robots.gateway.limits = Limits(heartbeat_timeout=1.0)
    reads, pings, _ = [await robots.connect(name) for name in ("reads", "pings", "silent")]
    while not robots.closed:
        await reads.send(READING)
        await pings.send('{"type":"ping"}')
        await asyncio.sleep(0.15)
    assert [event.payload["robot_id"] for event in robots.closed] == ["silent"]


async def test_ping_frames_keep_a_connection_alive(own: Robots) -> None:
    """The WebSocket's own pings, which many clients send by themselves, count as frames."""
    own.gateway.limits = Limits(heartbeat_timeout=1.0)
    client, _ = [await own.connect(name) for name in ("pings", "silent")]
    while not own.closed:
        await client.ping()
        await asyncio.sleep(0.15)
    assert [event.payload["robot_id"] for event in own.closed] == ["silent"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"\x83\x80\0\0\0\0", 1002), (b"\x81\x82\0\0\0\0\xff\xfe", 1007)],
    ids=["unknown opcode", "no UTF-8"],
)
async def test_a_broken_frame_is_answered_with_the_reason(
    robots: Robots, frame: bytes, code: int
) -> None:
    """A client library with a fault gets RFC 6455's close code, not just a lost connection."""
    client = await robots.connect()
    client.transport.write(frame)
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "protocol_error"
    assert await _close_code(client) == code


async def test_the_newest_connection_of_a_robot_wins(robots: Robots) -> None:
    """The old connection is closed as superseded, and the robot stays online on the new one."""
    old = await robots.connect()
    new = await robots.connect()
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "superseded"
    assert closed.payload["connection_id"] == robots.established[0].payload["connection_id"]
    assert await _close_code(old) == 4409
    (presence,) = await get_robots()
    assert presence["status"] == "online"
    assert presence["connection_id"] == robots.established[1].payload["connection_id"]
    await new.send('{"type":"ping"}')
    assert await new.recv() == '{"type":"pong"}'


async def test_ten_bad_frames_in_a_row_are_a_protocol_error(robots: Robots) -> None:
    """Each bad frame gets its error; the tenth in a row closes the connection."""
    client = await robots.connect()
    for _ in range(10):
        await client.send("{")
    answers = [await client.recv() for _ in range(10)]
    assert all('"code":"invalid_json"' in str(answer) for answer in answers)
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "protocol_error"
    assert await _close_code(client) == 1008


async def test_nine_bad_frames_and_a_good_one_are_forgiven(robots: Robots) -> None:
    """Only bad frames in a row count."""
    robots.gateway.limits = Limits(max_frames_per_second=1_000)
    client = await robots.connect()
    for frame in [*["[]"] * 9, READING] * 3:
        await client.send(frame)
    await client.send('{"type":"ping"}')
    answers = [str(await client.recv()) for _ in range(28)]
    assert answers[-1] == '{"type":"pong"}'
    assert not robots.closed


async def test_a_frame_over_the_server_s_limit_is_too_big(robots: Robots) -> None:
    """The server itself ends a connection whose frame it does not take in."""
    client = await robots.connect()
    await client.send("x" * (robots.gateway.limits.max_frame_bytes + 1))
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "message_too_big"
    assert await _close_code(client) == 1009


async def test_a_frame_over_our_own_limit_is_too_big(robots: Robots) -> None:
    """The limit holds under servers that have none."""
    robots.gateway.limits = Limits(max_frame_bytes=100)
    client = await robots.connect()
    await client.send("x" * 101)
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "message_too_big"
    assert await _close_code(client) == 1009


async def test_a_flood_is_rate_limited(robots: Robots) -> None:
    """A robot that keeps sending far over the limit is told so, then closed."""
    robots.gateway.limits = Limits(max_frames_per_second=5)
    client = await robots.connect()
    for _ in range(15):
        await client.send(READING)
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "rate_limited"
    assert '"code":"rate_limited"' in str(await client.recv())
    assert robots.gateway.connections.frames["reading"] == 5
    assert robots.gateway.connections.frames["rate_limited"] == 10


async def test_invalid_utf8_is_a_protocol_error(robots: Robots) -> None:
    """A text frame that is not UTF-8 breaks the WebSocket protocol."""
    client = await robots.connect()
    client.transport.write(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "protocol_error"


async def test_a_failing_handler_is_a_server_error(
    robots: Robots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When our own code fails, the robot gets 1011 and the event says whose fault it is."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session, "take_reading", fail)
    client = await robots.connect()
    await client.send(READING)
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "server_error"
    assert await _close_code(client) == 1011


async def test_closing_all_connections_is_a_server_shutdown(robots: Robots) -> None:
    """Stopping the service reaches each robot as 1012, and is one event for each."""
    clients = [await robots.connect(f"robot_{n}") for n in range(5)]
    assert await robots.gateway.connections.close_all(CloseReason.SERVER_SHUTDOWN, deadline=5)
    closings = await robots.closings(5)
    assert {closed.payload["reason"] for closed in closings} == {"server_shutdown"}
    assert {await _close_code(client) for client in clients} == {1012}
    assert len(robots.gateway.connections) == 0


async def test_a_cancelled_handler_is_a_server_shutdown(robots: Robots) -> None:
    """A server that cancels its handlers gets the event all the same, and once."""
    await robots.connect()
    await eventually(lambda: robots.established, "established")
    (handler,) = [t for t in asyncio.all_tasks() if "run_asgi" in str(t.get_coro())]
    handler.cancel()
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "server_shutdown"


async def test_a_connection_that_is_ended_before_it_receives_is_closed_at_once(
    robots: Robots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The robot connects a second time while the first connection is being told of."""
    publish = robots.stream.publish

    async def end_it(event: Event) -> None:
        await publish(event)
        if event.type == "telemetry.connection_established":
            (connection,) = robots.gateway.connections
            connection.end(CloseReason.SUPERSEDED)

    monkeypatch.setattr(robots.stream, "publish", end_it)
    client = await robots.connect()
    assert await asyncio.wait_for(_close_code(client), 10) == 4409
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "superseded"


class _Socket:
    """A WebSocket on which nothing ever comes, as far as the handler needs it."""

    scope: ClassVar[dict[str, Any]] = {
        "headers": [],
        "query_string": b"",
        "scheme": "ws",
        "path": "/api/telemetry/ws/robot_001",
        "extensions": None,
    }

    async def accept(self, subprotocol: str | None) -> None:
        """Accept."""

    async def receive(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def close(self, code: int, reason: str) -> None:
        """Close."""


@pytest.mark.parametrize("ended_too", [False, True])
async def test_a_cancellation_goes_on_to_the_server(robots: Robots, ended_too: bool) -> None:
    """The handler's task is cancelled, also where the service ended the connection just then."""
    socket: Any = _Socket()
    handler = asyncio.create_task(telemetry_websocket(socket, "robot_001"))
    await eventually(lambda: robots.established, "established")
    handler.cancel()
    if ended_too:
        (connection,) = robots.gateway.connections
        connection.end(CloseReason.HEARTBEAT_TIMEOUT)
    await asyncio.wait({handler})
    assert handler.cancelled()
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "server_shutdown"


async def _close_code(client: ClientConnection) -> int | None:
    try:
        while True:
            await asyncio.wait_for(client.recv(), 5)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
