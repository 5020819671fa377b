"""The service's last word reaches the robot, whatever it was sending (RFC 6455, section 7.1.1)."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.certificates import make_certificate
from support.polling import eventually
from support.service import ServiceProcess, secure_service, service
from support.strangers import frame

PATH = "/api/telemetry/ws/"
PING = b"\x89\x80\x00\x00\x00\x00"


class Running:
    """A service, and how to talk to it."""

    def __init__(self, process: ServiceProcess, tls: ssl.SSLContext | None = None) -> None:
        self.process, self.tls = process, tls

    async def open(self, robot_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect a robot that has no manners but the handshake's."""
        parts = urlsplit(self.process.http)
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port, ssl=self.tls, limit=1_000_000
        )
        writer.write(
            f"GET {PATH}{robot_id} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        return reader, writer

    async def reason(self, robot_id: str) -> str:
        """Return the close reason of the robot's one connection, once it is told."""
        await eventually(lambda: self._reasons(robot_id), f"{robot_id} is closed")
        (reason,) = self._reasons(robot_id)
        return reason

    def _reasons(self, robot_id: str) -> list[str]:
        closed = [e["payload"] for e in self.process.events("telemetry.connection_closed")]
        return [str(payload["reason"]) for payload in closed if payload["robot_id"] == robot_id]


@pytest.fixture(scope="module", params=["tcp", "tls"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Yield a service with and without TLS."""
    if request.param == "tcp":
        with service(CHARTER_LOG_FORMAT="json") as process:
            yield Running(process)
        return
    folder: Path = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder)
    options = ("--ssl-certfile", str(certificate.chain), "--ssl-keyfile", str(certificate.key))
    with secure_service(certificate.trusted, *options) as process:
        yield Running(process, certificate.trusted)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection, and return when it is: the garbage collector would warn."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _close_code(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Read to the close frame, answer it, and wait for the service to hang up."""
    code = 0
    while not code:
        first, second = await reader.readexactly(2)
        length = second & 0x7F
        assert length < 126
        payload = await reader.readexactly(length)
        if first == 0x88:
            code = struct.unpack("!H", payload[:2])[0]
    writer.write(frame(struct.pack("!H", code), opcode=8))
    assert await asyncio.wait_for(reader.read(), 3) == b""
    await _hang_up(writer)
    return code


@pytest.mark.parametrize("size", [70_000, 8_000_000])
async def test_a_robot_that_sends_too_much_reads_why(running: Running, size: int) -> None:
    """It gets 1009 with all of its frame under way, time and again."""
    for turn in range(10):
        robot_id = f"big_{size}_{turn}"
        reader, writer = await running.open(robot_id)
        writer.write(frame(b"x" * size))
        assert await asyncio.wait_for(_close_code(reader, writer), 10) == 1009
        assert await running.reason(robot_id) == "message_too_big"


async def test_a_robot_that_floods_reads_why(running: Running) -> None:
    """4,000 pings at once are answered with 4429."""
    reader, writer = await running.open("flood")
    writer.write(PING * 4_000)
    assert await asyncio.wait_for(_close_code(reader, writer), 10) == 4429
    assert await running.reason("flood") == "rate_limited"


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1009, 1011, 1012, 4429, 4999])
async def test_a_robot_s_own_close_is_its_own_whatever_its_code(
    running: Running, code: int
) -> None:
    """The side that closed first decides; the answer repeats the code."""
    reader, writer = await running.open(f"own_{code}")
    writer.write(frame(struct.pack("!H", code) + b"bye", opcode=8))
    assert await asyncio.wait_for(reader.read(), 5) == b"\x88\x02" + struct.pack("!H", code)
    await _hang_up(writer)
    assert await running.reason(f"own_{code}") == "client_disconnect"


async def test_a_close_between_fragments_is_a_close(running: Running) -> None:
    """Control frames may come amid a message (section 5.4)."""
    reader, writer = await running.open("fragments")
    writer.write(b"\x01\x80\x00\x00\x00\x00" + frame(struct.pack("!H", 1000), opcode=8))
    assert await asyncio.wait_for(reader.read(), 5) == b"\x88\x02\x03\xe8"
    await _hang_up(writer)
    assert await running.reason("fragments") == "client_disconnect"
