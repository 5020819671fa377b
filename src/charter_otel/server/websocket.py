"""The service's own WebSocket protocol for uvicorn.

Litestar routes, admits and closes by ASGI, as under any server. Only the path of a frame differs:
by an extension, the handler may let its session take each message in a plain call. So a frame
costs no queue, no task switch, and no system call to stop and start reading.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import structlog
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

from charter_otel.charter import CloseReason
from charter_otel.server import frames
from charter_otel.server.floods import PIECES_PER_SECOND
from charter_otel.server.handshake import Handshake, accept_value, check, subprotocols
from charter_otel.server.keepalive import Keepalive
from charter_otel.server.responses import refusal, response
from charter_otel.server.wire import FrameProtocol, Message, WireState
from charter_otel.telemetry.closing import CODES
from charter_otel.telemetry.extension import DIRECT, REFUSAL, Take

log = structlog.get_logger(__name__)


class WebSocketProtocol(FrameProtocol):
    """One client's WebSocket, as the application sees it."""

    keepalive: Keepalive
    """Set by `websocket_protocol`, one for all connections of a server."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, loop)
        self._app_state = app_state
        self._key = b""
        self._answer: Message = {}
        self._inbox: deque[Message] = deque(({"type": "websocket.connect"},))
        self._waiting: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self._ended: asyncio.Future[Message] | None = None
        self._disconnect_reported = False

    # The handshake

    def open(self, transport: asyncio.Transport, handshake: Handshake, early: bytes = b"") -> None:
        """Run the application for a client that requests a WebSocket.

        Args:
            transport: The connection, which is this protocol's from now on.
            handshake: The client's request.
            early: The bytes that it has sent behind that.
        """
        self.transport = transport
        transport.set_protocol(self)
        self._server.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own
        scope = self._scope(handshake)
        if broken := check(handshake):
            scope["extensions"][REFUSAL] = broken
        else:
            self._key = handshake.values(b"sec-websocket-key")[0]
        task = self.loop.create_task(self.run_asgi(scope), name="websocket")
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)
        self.data_received(early)

    def _scope(self, handshake: Handshake) -> dict[str, Any]:
        get = self.transport.get_extra_info
        path, _, query = handshake.target.partition(b"?")
        root = self._config.root_path
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if get("sslcontext") else "ws",
            "server": _address(get("sockname")),
            "client": _address(get("peername")),
            "root_path": root,
            "path": root + unquote(path.decode("latin-1")),
            "raw_path": root.encode() + path,
            "query_string": query,
            "headers": handshake.headers,
            "subprotocols": subprotocols(handshake.headers),
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}, DIRECT: self._direct},
        }

    async def run_asgi(self, scope: dict[str, Any]) -> None:
        """Run the application, and end a connection that it leaves open."""
        try:
            await self._config.loaded_app(scope, self._receive, self._send)
        except ClientDisconnected:
            pass
        except Exception:
            log.exception("the application failed")
            self._fail()
        except BaseException:
            self._fail()
            raise
        else:
            self._fail()

    def _fail(self) -> None:
        """End a connection that the application has left open."""
        if self._state in {WireState.HANDSHAKE, WireState.REFUSED}:
            self._finish(response(500))
        elif self._state is WireState.OPEN:
            self._close(CODES[CloseReason.SERVER_ERROR], CloseReason.SERVER_ERROR.value)

    def _accept(self, message: Message) -> None:
        headers = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", accept_value(self._key)),
            *(message.get("headers") or ()),
        ]
        if subprotocol := message.get("subprotocol"):
            headers.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        self.transport.write(response(101, headers))
        self._state = WireState.OPEN
        self.pending_handshake.leave(accepted=True)
        self.keepalive.add(self)
        if self._early:
            early, self._early = self._early, b""
            self.transport.resume_reading()
            self.data_received(early)

    # The ASGI side

    async def _receive(self) -> Message:
        while not self._inbox:
            self._waiting = self.loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        message = self._inbox.popleft()
        if not self._inbox and self._state is WireState.OPEN and self._writable is None:
            self.transport.resume_reading()
        return message

    async def _direct(self, take: Take, seen: Callable[[], None]) -> Message:
        """Pass frames to the session directly: see `charter_otel.telemetry.extension.Direct`."""
        self._ended = self.loop.create_future()
        self._take, self._seen = take, seen
        while self._inbox:
            message = self._inbox.popleft()
            if message["type"] == "websocket.disconnect":
                return message
            self._message(message.get("text") or message.get("bytes") or "")
        if self._state is WireState.OPEN and self._writable is None:
            self.transport.resume_reading()
        try:
            return await self._ended
        finally:
            self._take = _leave

    async def _send(self, message: Message) -> None:
        kind = message["type"].removeprefix("websocket.")
        if self._state is WireState.CLOSED:
            raise ClientDisconnected
        if self._state is WireState.HANDSHAKE and kind == "accept":
            self._accept(message)
        elif self._state is WireState.HANDSHAKE and kind == "close":
            self._finish(refusal(message))
        elif self._state is WireState.HANDSHAKE and kind == "http.response.start":
            self._answer, self._state = message, WireState.REFUSED
        elif self._state is WireState.REFUSED and kind == "http.response.body":
            headers = self._answer.get("headers") or ()
            self._finish(response(self._answer["status"], headers, message.get("body", b"")))
        elif self._state is WireState.OPEN and kind == "send":
            await self._send_message(message)
        elif self._state is WireState.OPEN and kind == "close":
            self._close(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"{message['type']} does not fit a connection in {self._state}")

    async def _send_message(self, message: Message) -> None:
        text = message.get("text")
        if text is None:
            self.transport.write(frames.encode(message["bytes"], frames.BINARY))
        else:
            self.transport.write(frames.encode(text.encode()))
        if self._writable is not None:
            await asyncio.shield(self._writable)

    # Messages to and from it

    def _message(self, data: str | bytes) -> None:
        if self._take is None:
            kind = "text" if isinstance(data, str) else "bytes"
            self._deliver({"type": "websocket.receive", kind: data})
            self.transport.pause_reading()
            if len(self._inbox) > PIECES_PER_SECOND:
                self._end_flood()
            return
        try:
            answer = self._take(data)
        except Exception as error:  # noqa: BLE001 - the session's failure is its task's to tell
            self._take = _leave
            if self._ended is not None and not self._ended.done():
                self._ended.set_exception(error)
        else:
            if answer is not None and self._state is WireState.OPEN:
                self.transport.write(frames.encode(answer.encode()))

    def _report_disconnect(self, disconnect: Message) -> None:
        """Notify the application that the connection has ended, once."""
        if self._disconnect_reported:
            return
        self._disconnect_reported = True
        message = {"type": "websocket.disconnect", **disconnect}
        if self._ended is None:
            self._deliver(message)
        elif not self._ended.done():
            self._ended.set_result(message)

    def _deliver(self, message: Message) -> None:
        self._inbox.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def websocket_protocol() -> type[WebSocketProtocol]:
    """Return the class of a server's connections."""
    return type("WebSocketProtocol", (WebSocketProtocol,), {"keepalive": Keepalive()})


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None


def _leave(_: str | bytes) -> None:
    """Ignore a message that comes after the session's end."""
