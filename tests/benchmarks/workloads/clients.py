"""Robots and readers as load: real WebSocket and HTTP clients, in a process of their own."""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

READING = (
    b'{"cpu_usage":45.2,"memory_usage":62.8,"network_latency_ms":12.5,'
    b'"battery_percentage":78.0,"timestamp":1703003456.789}'
)
_PING = b'{"type":"ping"}'
_WINDOW = 200
"""Frames that a flooding robot sends before it waits for the server to have read them."""
_AT_ONCE = 50
"""Handshakes that are under way together while a fleet connects."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Latencies(NamedTuple):
    """Seconds, the median each."""

    connect: float
    disconnect: float


class Robot(WSListener):  # type: ignore[misc] # compiled, without types
    """A robot's connection."""

    def __init__(self) -> None:
        self.transport: WSTransport
        self.pong = asyncio.Event()
        self.gone = asyncio.Event()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take an answer, or the other half of a close."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            self.pong.set()

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Record the end; nobody waits for an answer any more."""
        self.gone.set()
        self.pong.set()

    async def ping(self) -> None:
        """Wait until the server has read everything so far."""
        self.pong.clear()
        self.transport.send(WSMsgType.TEXT, _PING)
        await self.pong.wait()

    async def leave(self) -> None:
        """Close, and wait until the connection is gone."""
        if not self.gone.is_set():
            self.transport.send_close(1000, b"")
            await self.gone.wait()


async def connect(url: str) -> Robot:
    """Connect a robot."""
    _, robot = await ws_connect(Robot, url, enable_auto_pong=True)
    assert isinstance(robot, Robot)
    return robot


class Load:
    """The load on one server.

    Args:
        address: ``host:port`` of the server.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._robots: list[Robot] = []

    async def hold(self, robots: int) -> int:
        """Connect so many robots and keep them; tells how many are there."""
        urls = iter([self._url(number) for number in range(robots)])

        async def fill() -> None:
            for url in urls:
                self._robots.append(await connect(url))

        await asyncio.gather(*(fill() for _ in range(_AT_ONCE)))
        return len(self._robots)

    async def let_go(self) -> None:
        """Disconnect all robots."""
        robots, self._robots = self._robots, []
        for start in range(0, len(robots), _AT_ONCE):
            await asyncio.gather(*(robot.leave() for robot in robots[start : start + _AT_ONCE]))

    async def missing(self) -> int:
        """Return the number of robots whose connection has ended by itself."""
        return sum(robot.gone.is_set() for robot in self._robots)

    async def flood(self, frames: int) -> float:
        """Send so many frames as fast as they are read, over all robots; gives seconds."""
        windows = max(1, frames // len(self._robots) // _WINDOW)

        async def send(robot: Robot) -> None:
            for _ in range(windows):
                for _ in range(_WINDOW):
                    robot.transport.send(WSMsgType.TEXT, READING)
                await robot.ping()

        started = time.perf_counter()
        await asyncio.gather(*(send(robot) for robot in self._robots))
        return (time.perf_counter() - started) / (windows * _WINDOW * len(self._robots)) * frames

    async def pace(self, rate: float, seconds: float) -> int:
        """Send at a rate, each frame on its own, over all robots; gives the number sent."""
        started, sent = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds:
            due = int(elapsed * rate)
            while sent < due:
                self._robots[sent % len(self._robots)].transport.send(WSMsgType.TEXT, READING)
                sent += 1
            await asyncio.sleep(0.001)
        await asyncio.gather(*(robot.ping() for robot in self._robots))
        return sent

    async def shake_hands(self, count: int) -> float:
        """Connect and disconnect so many robots, 20 at once; gives handshakes per second."""
        numbers = iter(range(count))

        async def come_and_go() -> None:
            for number in numbers:
                robot = await connect(self._url(number))
                await robot.leave()

        started = time.perf_counter()
        await asyncio.gather(*(come_and_go() for _ in range(20)))
        return count / (time.perf_counter() - started)

    async def latencies(self, count: int) -> Latencies:
        """Connect and disconnect robots one after another."""
        taken = []
        for number in range(count):
            started = time.perf_counter()
            robot = await connect(self._url(number))
            connected = time.perf_counter()
            await robot.leave()
            taken.append((connected - started, time.perf_counter() - connected))
        return Latencies(*(statistics.median(t) for t in zip(*taken, strict=True)))

    async def make_known(self) -> None:
        """Make the first robot send a reading."""
        robot = await connect(self._url(0))
        robot.transport.send(WSMsgType.TEXT, READING)
        await robot.ping()
        await robot.leave()

    async def get(self, requests: int, connections: int = 32) -> float:
        """Ask for the first robot's metrics so often; gives requests per second."""
        path = b"/api/telemetry/robots/robot_0/metrics"
        request = b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (path, self._address.encode())
        left = iter(range(requests))
        host, _, port = self._address.partition(":")
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        readers = [
            (await loop.create_connection(lambda: _Reader(request, left), host, int(port)))[1]
            for _ in range(connections)
        ]
        await asyncio.gather(*(reader.done for reader in readers))
        return requests / (time.perf_counter() - started)

    def _url(self, number: int) -> str:
        return f"ws://{self._address}/api/telemetry/ws/robot_{number}"


class _Reader(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, left: "Sequence[int] | object") -> None:
        self._request = request
        self._left = left
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or length is None or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(f"the server answered {head[:40]!r}"))
            self._transport.close()
            return
        self._received = b""
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))

    def _ask(self) -> None:
        if next(self._left, None) is None:  # type: ignore[call-overload]
            self.done.set_result(None)
            self._transport.close()
        else:
            self._transport.write(self._request)


@asynccontextmanager
async def load(address: str) -> AsyncIterator[Load]:
    """Yield the load on one server; what it holds goes when it ends."""
    running = Load(address)
    try:
        yield running
    finally:
        await running.let_go()
