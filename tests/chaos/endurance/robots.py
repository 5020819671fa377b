"""Robots as plain sockets: they cost a tenth of a client library's, so that thousands fit here."""

import asyncio
import random
from urllib.parse import urlsplit

from support.strangers import frame

_READING = b"""{"cpu_usage":%d,"memory_usage":9,"network_latency_ms":1,"battery_percentage":7}"""
_PING = 0x89
_CLOSE = frame(b"\x03\xe8", 0x8)
_HANDSHAKE = (
    "GET /api/telemetry/ws/{} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Socket(asyncio.Protocol):
    """One robot's connection."""

    def __init__(self, handshake: bytes) -> None:
        self.transport: asyncio.Transport
        self.accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the service answered with 101."""
        self.ended = asyncio.Event()
        self._handshake = handshake

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask for the WebSocket."""
        self.transport = transport
        transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        """Look at the answer; answer the pings that come later."""
        if not self.accepted.done():
            self.accepted.set_result(data.startswith(b"HTTP/1.1 101 "))
        elif data[0] == _PING:
            self.transport.write(frame(data[2:6], 0xA))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note the end."""
        self.ended.set()
        if not self.accepted.done():
            self.accepted.set_result(False)

    def read(self, cpu: int = 45) -> None:
        """Send a reading."""
        self.transport.write(frame(_READING % cpu))

    async def leave(self, chance: random.Random) -> None:
        """Go as robots do: with a closing handshake, without one, or by a reset."""
        way = chance.randrange(3)
        if way == 0:
            self.transport.write(_CLOSE)
            async with asyncio.timeout(30):
                await self.ended.wait()
        elif way == 1:
            self.transport.write_eof()
        else:
            self.transport.abort()
        self.transport.close()


async def connect(websocket: str, robot_id: str, source: str | None = None) -> Socket | None:
    """Connect a robot; None if the service refuses it.

    Args:
        websocket: The service's address.
        robot_id: Its name.
        source: The address that it comes from, where that matters.
    """
    parts = urlsplit(websocket)
    handshake = _HANDSHAKE.format(robot_id, parts.netloc).encode()
    local = (source, 0) if source else None
    _, made = await asyncio.get_running_loop().create_connection(
        lambda: Socket(handshake), parts.hostname or "", parts.port or 0, local_addr=local
    )
    async with asyncio.timeout(60):
        return made if await made.accepted else None
