"""A network between a client and a server that a test can break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Passes bytes both ways until it is told not to.

    With ``lose_replies_to`` set, a request that contains these bytes still reaches the server, but
    the connection is cut before its reply comes back.
    """

    def __init__(self, port: int) -> None:
        self.url = ""
        self.lose_replies_to: bytes | None = None
        self.cuts = 0
        """Number of lost replies; each connection loses one only."""
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.close()

    async def _connected(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        from_server, server = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {client, server}
        for passing in (self._requests(reader, server, client), self._replies(from_server, client)):
            task = asyncio.create_task(passing)
            self._tasks.add(task)

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        while data := await _read(reader):
            if self.lose_replies_to and self.lose_replies_to in data:
                self.lose_replies_to = None
                self._lost.add(client)
            server.write(data)
        server.close()

    async def _replies(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            if client in self._lost:
                self.cuts += 1
                break
            client.write(data)
        client.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except ConnectionError:
        return b""
