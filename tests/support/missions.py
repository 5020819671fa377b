"""Mission entries for tests, and a connection to Redis that loses replies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec

from charter_otel.metrics.aggregation import aggregate
from charter_otel.metrics.locks import SlotLock
from charter_otel.metrics.missions import MissionStore
from charter_otel.metrics.router import MAX_ENTRIES
from charter_otel.otel import Instrumentation
from support.redis import RedisServer

OpenStore = Callable[..., MissionStore]
"""Type of the fixture `open_store`: a store by its URL, closed when the test ends."""
OpenLock = Callable[..., SlotLock]
"""Type of the fixture `open_lock`: a lock by its URL, closed when the test ends."""
MISSIONS = "{charter}:missions"
"""The stream of entries in Redis."""


def entry(number: int = 1, **fields: Any) -> bytes:
    """Return an entry's JSON; fields replace or add to the plain ones."""
    plain = {"mission_id": f"mission-{number}", "status": "completed", "timestamp": 1_703_001_234.0}
    return msgspec.json.encode(plain | fields)


def entries(count: int) -> list[bytes]:
    """Return entries of one mission each."""
    return [entry(number) for number in range(count)]


async def append(store: MissionStore, count: int) -> None:
    """Append so many entries, no more at once than the largest request brings.

    A starved Redis takes longer for more of them than a reply may take.
    """
    data = entries(count)
    for begin in range(0, count, MAX_ENTRIES):
        await store.append(data[begin : begin + MAX_ENTRIES])


async def run_once(store: MissionStore) -> int:
    """Aggregate what the store holds, without events."""
    return await aggregate(store, Instrumentation().instruments)


async def processed(store: MissionStore) -> int:
    """Return how many entries the store's aggregates hold."""
    return (await store.aggregates()).totals.entries_processed


@contextlib.contextmanager
def unreadable_missions(redis: RedisServer) -> Iterator[None]:
    """Put something else where the entries lie, so that runs fail; the entries stay."""
    redis.command("RENAME", MISSIONS, f"{MISSIONS}:aside")
    redis.command("SET", MISSIONS, "not a stream")
    try:
        yield
    finally:
        redis.command("DEL", MISSIONS)
        redis.command("RENAME", f"{MISSIONS}:aside", MISSIONS)


class LossyLink:
    """Stands between a client and a server, and loses a reply when it is told to.

    Args:
        port: The server's port on loopback.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.lose_reply_to: bytes | None = None
        """The first request that contains this is answered by a closed connection, once."""
        self.lost = 0
        self._losing = False

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["LossyLink"]:
        """Listen on a free port until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        requests = asyncio.create_task(self._pass_requests(reader, server_writer))
        try:
            while (reply := await server_reader.read(65_536)) and not self._losing:
                writer.write(reply)
            self.lost += self._losing
            self._losing = False
        finally:
            requests.cancel()
            writer.close()
            server_writer.close()

    async def _pass_requests(
        self, reader: asyncio.StreamReader, server_writer: asyncio.StreamWriter
    ) -> None:
        while request := await reader.read(65_536):
            if self.lose_reply_to is not None and self.lose_reply_to in request:
                self.lose_reply_to = None
                self._losing = True
            server_writer.write(request)
        server_writer.close()
