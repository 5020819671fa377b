"""Dispatches new connections: a robot's plain handshake needs no HTTP parser.

One regular expression finds out whether a read holds a whole, ordinary handshake. All other bytes,
such as a handshake in pieces, go unchanged to the HTTP protocol, which accepts the same.

TLS begins here, too, and not in the event loop's server: that would count and time a connection
only once its TLS handshake is over, which a silent stranger never begins.
"""

import asyncio
import ssl
from enum import Enum
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from charter_otel.server import timeouts
from charter_otel.server.handshake import read_plain
from charter_otel.server.http import HTTPProtocol
from charter_otel.telemetry.pending_handshakes import PendingHandshake, PendingHandshakes


class _Phase(Enum):
    """The progress of a TLS handshake."""

    SILENT = "the client has sent nothing"
    GREETED = "its handshake is in progress"
    OPEN = "bytes are the client's own"


class DispatchingProtocol(asyncio.Protocol):
    """A connection on which nothing has arrived yet.

    Args:
        config: uvicorn's options.
        server_state: Connections and tasks of the server.
        app_state: The application's lifespan state.
        _loop: Ignored: uvicorn passes the event loop, which is the running one.
    """

    pending_handshakes: PendingHandshakes
    """Set by `dispatching_protocol`, one for all connections of a server."""
    tls: ssl.SSLContext | None = None
    """Set by the server, if it has a certificate."""

    __slots__ = (
        "_app_state",
        "_config",
        "_early",
        "_late",
        "_pending_handshake",
        "_phase",
        "_server",
        "transport",
    )

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
        self._phase = _Phase.OPEN
        self._early = b""
        """Bytes that came before the encrypted transport was known."""
        self._pending_handshake = PendingHandshake()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first bytes, if there is room for another stranger."""
        self.transport = transport
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else None
        pending_handshake = self.pending_handshakes.enter(address, len(self._server.connections))
        if pending_handshake is None:
            transport.abort()
            return
        self._pending_handshake = pending_handshake
        self._server.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(timeouts.HEADERS_WITHIN, transport.abort)
        if self.tls is not None:
            self._phase = _Phase.SILENT

    async def _encrypt(self, tls: ssl.SSLContext, hello: bytes) -> None:
        """Do the TLS handshake, which the client has begun; `_late` ends one that takes too long.

        asyncio takes over a connection on which nothing was read. So what was read is given to its
        protocol as soon as that knows the connection: behind the steps that `start_tls` plans.
        """
        loop, raw = asyncio.get_running_loop(), self.transport
        try:
            encrypting = loop.create_task(loop.start_tls(raw, self, tls, server_side=True))
            loop.call_soon(loop.call_soon, _feed, raw, hello)
            encrypted = await encrypting
        except OSError:
            encrypted = None
        if encrypted is None:
            self.connection_lost(None)
            raw.abort()
            return
        self.transport, self._phase = encrypted, _Phase.OPEN
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Stop waiting."""
        self._leave()
        self._pending_handshake.leave()

    def data_received(self, data: bytes) -> None:
        """Hand over to the protocol that the first bytes request."""
        if self._phase is _Phase.SILENT and self.tls is not None:
            self._phase = _Phase.GREETED
            self.transport.pause_reading()
            task = asyncio.create_task(self._encrypt(self.tls, data), name="TLS handshake")
            self._server.tasks.add(task)
            task.add_done_callback(self._server.tasks.discard)
            return
        if self._phase is not _Phase.OPEN:
            self._early += data
            return
        transport = self._leave()
        given = self._config, self._server, self._app_state
        handshake = read_plain(data)
        if handshake is not None:
            protocol: Any = self._config.ws_protocol_class
            robot = protocol(*given)
            robot.pending_handshake = self._pending_handshake
            robot.open(transport, handshake)
            return
        http = HTTPProtocol(*given)
        http.pending_handshake = self._pending_handshake
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


def _feed(transport: asyncio.Transport, data: bytes) -> None:
    """Pass bytes to the protocol of the TLS connection, as the transport would."""
    protocol: Any = transport.get_protocol()
    while data and not transport.is_closing():
        buffer = memoryview(protocol.get_buffer(len(data)))
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]


def dispatching_protocol() -> type[DispatchingProtocol]:
    """Return the class of a server's new connections."""
    return type(
        "DispatchingProtocol",
        (DispatchingProtocol,),
        {"pending_handshakes": PendingHandshakes(), "__slots__": ()},
    )
