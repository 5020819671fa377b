"""Clients that send too slowly or do not read lose their connection; others notice nothing."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from litestar import get

from charter_otel.server import timeouts
from charter_otel.server.server import EmbeddedServer, configure
from charter_otel.service.settings import Settings
from charter_otel.telemetry import Gateway, Limits, Sweeper, router
from support.apps import make_app
from support.polling import eventually
from support.robots import READING
from support.strangers import Flood, frame, shake_hands

PATH = "/api/telemetry/ws/robot_1"
LARGE = 8_000_000


@get("/large", sync_to_thread=False)
def _large() -> bytes:
    return b"x" * LARGE


@pytest.fixture
def gateway() -> Gateway:
    """Return a gateway whose robots may send as fast as they can."""
    return Gateway(limits=Limits(max_frames_per_second=1_000_000))


@pytest.fixture
async def served(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[EmbeddedServer, str]]:
    """Yield a server with little timeouts, as `charter-otel serve` configures it."""
    monkeypatch.setattr(timeouts, "HEADERS_WITHIN", 0.4)
    monkeypatch.setattr(timeouts, "BODY_WITHIN", 0.6)
    monkeypatch.setattr(timeouts, "READ_WITHIN", 0.4)
    monkeypatch.setattr(timeouts, "LINGER", 0.4)
    router.set_gateway(gateway)
    sweeper = Sweeper(gateway)
    sweeper.start()
    try:
        async with _serving() as (server, url):
            yield server, url
    finally:
        await sweeper.stop()
        router.set_gateway(Gateway())


@asynccontextmanager
async def _serving() -> AsyncIterator[tuple[EmbeddedServer, str]]:
    app = make_app([router.telemetry_router(), _large], openapi_config=None)
    server = EmbeddedServer(configure(app, Settings()))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve([listening]), name="server")
        await server.ready.wait()
        try:
            yield server, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def _client(url: str, receive_buffer: int = 4_096) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(5)
    host, port = url.removeprefix("http://").split(":")
    client.connect((host, int(port)))
    return client


def _open(server: EmbeddedServer) -> int:
    return len(server.server_state.connections)


async def _gone(server: EmbeddedServer) -> None:
    await eventually(lambda: _open(server) == 0, "the server has let go of the connection", 5)


async def _in_thread(work: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
        b"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
    ],
)
async def test_a_request_that_does_not_come_whole_is_dropped(
    served: tuple[EmbeddedServer, str], sent: bytes
) -> None:
    """Silence, half a handshake, half a body: the connection ends."""
    server, url = served
    with _client(url) as client:
        await _in_thread(client.sendall, sent)
        await eventually(lambda: _open(server) == 1, "the connection is there")
        await _gone(server)


async def test_a_request_that_comes_whole_in_time_is_answered(
    served: tuple[EmbeddedServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two halves, with a pause that is shorter than the limit."""
    monkeypatch.setattr(timeouts, "HEADERS_WITHIN", 30.0)
    server, url = served
    with _client(url) as client:
        await _in_thread(
            client.sendall, b"GET " + PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
        )
        await eventually(lambda: _open(server) == 1, "the connection is there")
        await asyncio.sleep(0.5)
        await _in_thread(
            client.sendall,
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + b"k" * 22 + b"==\r\n\r\n",
        )
        assert (await _in_thread(client.recv, 100)).startswith(b"HTTP/1.1 101")
    await _gone(server)


async def _trickle(client: socket.socket) -> None:
    while True:
        await _in_thread(client.sendall, b"G")
        await asyncio.sleep(0.05)


async def test_a_byte_now_and_then_does_not_buy_time(served: tuple[EmbeddedServer, str]) -> None:
    """Headers must be complete in time, however busily they come."""
    server, url = served
    with _client(url) as client:
        trickle = asyncio.create_task(_trickle(client), name="trickle")
        await eventually(trickle.done, "the connection is dropped", 5)
        assert isinstance(trickle.exception(), ConnectionError)
        await _gone(server)


@pytest.mark.parametrize("value", ["\x1b[2J", "a\x1cb", "\x7f"])
async def test_a_handshake_that_one_parser_takes_and_the_other_does_not_is_answered(
    served: tuple[EmbeddedServer, str], value: str
) -> None:
    """A control character in a header leaves no connection open that nobody looks after."""
    server, url = served
    with _client(url) as client:
        answer = await _in_thread(shake_hands, client, url, PATH, {"User-Agent": value})
        assert answer.status in {101, 400}
    await _gone(server)


async def test_a_whole_handshake_has_all_the_time_it_wants(
    served: tuple[EmbeddedServer, str], gateway: Gateway
) -> None:
    """The limit is one of the request, not of the connection that follows."""
    server, url = served
    with _client(url) as client, _client(url) as slow:
        assert (await _in_thread(shake_hands, client, url, PATH)).status == 101
        trickle = asyncio.create_task(_trickle(slow), name="trickle")
        await eventually(trickle.done, "a later one is dropped", 5)
        assert isinstance(trickle.exception(), ConnectionError)
        assert len(gateway.connections) == 1
        await _in_thread(client.sendall, frame(b'{"type":"ping"}'))
        assert b"pong" in await _in_thread(client.recv, 100)
    await _gone(server)


async def test_a_robot_that_does_not_read_its_acknowledgements_is_let_go(
    served: tuple[EmbeddedServer, str], gateway: Gateway
) -> None:
    """It stops being read, holds no more than its buffers, and is dropped; others go on."""
    server, url = served
    with _client(url) as client, _client(url) as other:
        await _in_thread(shake_hands, client, url, PATH + "?ack=1")
        await _in_thread(shake_hands, other, url, "/api/telemetry/ws/robot_2?ack=1")
        flood = Flood(client, READING.encode())
        with contextlib.suppress(ConnectionError):
            while gateway.connections.current("robot_1"):
                if not flood.send():
                    await asyncio.sleep(0.005)
        await _in_thread(other.sendall, frame(READING.encode()))
        assert b"ack" in await _in_thread(other.recv, 100)
        await eventually(lambda: _open(server) == 1, "only the other is connected", 5)


async def test_a_robot_that_does_not_read_the_close_is_let_go(
    served: tuple[EmbeddedServer, str], gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat timeout ends it, too, when nothing that is sent arrives any more."""
    monkeypatch.setattr(timeouts, "READ_WITHIN", 60.0)
    gateway.limits = Limits(max_frames_per_second=1_000_000, heartbeat_timeout=0.5)
    server, url = served
    with _client(url) as client:
        await _in_thread(shake_hands, client, url, PATH + "?ack=1")
        flood = Flood(client, READING.encode())
        with contextlib.suppress(ConnectionError):
            while len(gateway.connections):
                if not flood.send():
                    await asyncio.sleep(0.005)
        await _gone(server)


async def test_a_reader_that_takes_nothing_is_let_go(served: tuple[EmbeddedServer, str]) -> None:
    """A large response that nobody reads does not stay in memory."""
    server, url = served
    with _client(url) as client:
        await _in_thread(client.sendall, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: _open(server) == 1, "the connection is there")
        await _gone(server)


async def test_a_slow_reader_that_reads_on_gets_everything(
    served: tuple[EmbeddedServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slowness alone is not a reason to be dropped."""
    monkeypatch.setattr(timeouts, "READ_WITHIN", 0.8)
    _, url = served
    with _client(url, receive_buffer=65_536) as client:
        await _in_thread(client.sendall, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        received, slow_until = 0, asyncio.get_running_loop().time() + 2.5
        while received < LARGE and (data := await _in_thread(client.recv, 262_144)):
            received += len(data)
            if asyncio.get_running_loop().time() < slow_until:
                await asyncio.sleep(0.02)
    assert received >= LARGE
