"""Receivers of OTLP: one takes everything, one never answers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from benchmarks import machine
from benchmarks.workers import Worker

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"


@contextmanager
def healthy() -> Iterator[dict[str, str]]:
    """Run a receiver, and give the variables that name it."""
    with Worker(_receiver, core=machine.BESIDE) as receiver:
        yield variables(receiver("port"))


@contextmanager
def black_hole() -> Iterator[dict[str, str]]:
    """Take connections and never answer, and give the variables that name it."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield variables(listening.getsockname()[1])


def variables(port: int) -> dict[str, str]:
    """Return the standard variables for an OTLP/HTTP receiver on loopback."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}


class _Receiver:
    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    async def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port


@asynccontextmanager
async def _receiver() -> AsyncIterator[_Receiver]:
    async with await asyncio.start_server(_receive, "127.0.0.1", 0) as server:
        yield _Receiver(server)


async def _receive(reader: asyncio.StreamReader, writer: Any) -> None:
    """Read requests without looking into them."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            writer.write(_ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
