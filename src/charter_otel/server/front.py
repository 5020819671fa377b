"""The first protocol of every connection: a robot's plain handshake needs no HTTP parser.

One regular expression finds out whether a read holds a whole, ordinary handshake. All other bytes,
such as a handshake in pieces, go unchanged to the HTTP protocol, which accepts the same.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from charter_otel.server import patience
from charter_otel.server.handshake import read_plain
from charter_otel.server.http import HTTPProtocol


class Front(asyncio.Protocol):
    """A connection on which nothing has arrived yet.

    Args:
        config: uvicorn's options.
        server_state: Connections and tasks of the server.
        app_state: The application's lifespan state.
        _loop: Ignored: uvicorn passes the event loop, which is the running one.
    """

    __slots__ = ("_app_state", "_config", "_late", "_server", "transport")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config, self._server, self._app_state = config, server_state, app_state
        self.transport: asyncio.Transport
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first bytes."""
        self.transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(patience.HEADERS_WITHIN, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Stop waiting."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Hand over to the protocol that the first bytes request."""
        transport = self._leave()
        given = self._config, self._server, self._app_state
        handshake = read_plain(data)
        if handshake is not None:
            protocol: Any = self._config.ws_protocol_class
            protocol(*given).open(transport, handshake)
            return
        http = HTTPProtocol(*given)
        transport.set_protocol(http)
        http.connection_made(transport)
        http.data_received(data)

    def shutdown(self) -> None:
        """End the connection, as the server does."""
        self.transport.close()

    def _leave(self) -> asyncio.Transport:
        self._server.connections.discard(self)
        if self._late is not None:
            self._late.cancel()
        return self.transport
