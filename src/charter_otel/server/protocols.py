"""uvicorn's protocols with the patience limited: a peer that does not send or read must go.

uvicorn waits without end for a request to come whole, and for a peer to read what it was sent,
after the close of the connection too. Either would hold memory and a file for nothing. A robot's
ping frames, which ASGI does not know, count as signs of life.
"""

import asyncio
from contextlib import suppress
from typing import Any

import h11
import structlog
from uvicorn.config import WS_PROTOCOLS
from uvicorn.importer import import_from_string
from uvicorn.protocols.http.h11_impl import H11Protocol

from charter_otel.server.floods import (
    PIECES_PER_SECOND,
    UNWANTED_BYTES,
    ChunkLimit,
    FloodGuard,
)
from charter_otel.telemetry.admission import Refusal
from charter_otel.telemetry.refusal import messages
from charter_otel.telemetry.router import WEBSOCKET_ROUTE
from charter_otel.telemetry.session import ON_PING

HEADERS_WITHIN = 10.0
"""Seconds in which the headers of a request, or of a handshake, must have come."""
BODY_WITHIN = 60.0
"""Seconds in which its body must have come."""
READ_WITHIN = 60.0
"""Seconds in which a peer must read something of what waits for it; the system reports that in
steps of a megabyte or so, which a slow link takes a while for."""
LINGER = 5.0
"""Likewise for a robot, once its connection is closed: what waits is the rest of its answers."""

MAX_HEADER_BYTES = 16_384
"""Bytes of a request's line and headers."""

_NOWHERE = Refusal(
    "not_found",
    404,
    "Not Found",
    f"There is no WebSocket at this path; robots connect to {WEBSOCKET_ROUTE}.",
)
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


log = structlog.get_logger(__name__)


class SlowReaderTimeout(asyncio.Protocol):
    """Ends a connection whose peer reads nothing of what waits for it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Begin to watch the peer."""
        super().pause_writing()
        self._watch(READ_WITHIN)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)

    def _watch(self, within: float) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if left := self.transport.get_write_buffer_size():
            self._stalled = self.loop.call_later(within, self._check, left, within)

    def _check(self, before: int, within: float) -> None:
        self._stalled = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch(within)


class TimedHTTP(SlowReaderTimeout, H11Protocol):
    """HTTP/1.1 whose requests must come in time."""

    _late: asyncio.TimerHandle | None = None
    _awaited: Any = None
    _unwanted = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = ChunkLimit(h11.SERVER, MAX_HEADER_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._await(h11.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and see what is still to come."""
        if self._has_too_long_a_head(data):
            self._refuse_head()
            return
        if self._is_too_much(data):
            self.transport.abort()
            return
        super().data_received(data)
        upgraded = self.transport.get_protocol() is not self
        self._await(None if upgraded else self.conn.their_state)

    def on_response_complete(self) -> None:
        """Give the peer time to read the response, too."""
        super().on_response_complete()
        self._watch(READ_WITHIN)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the WebSocket implementation, and see that it knows what to do.

        Both parse more strictly. What the sansio one cannot parse it leaves without an answer, and
        the connection open; wsproto's raises.
        """
        begun = False
        with suppress(ValueError):
            super().handle_websocket_upgrade(event)
            begun = hasattr(self.transport.get_protocol(), "scope")
        if not (begun or self.transport.is_closing()):
            self.transport.write(_BAD_REQUEST)
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Say that the request is wrong, as long as nothing else has been said."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _has_too_long_a_head(self, data: bytes) -> bool:
        """Return whether a request's head is too long; h11 checks only an incomplete one."""
        if self.conn.their_state is not h11.IDLE:
            return False
        head = self.conn.trailing_data[0] + data
        end = head.find(b"\r\n\r\n")
        return (len(head) if end < 0 else end + 4) > MAX_HEADER_BYTES

    def _is_too_much(self, data: bytes) -> bool:
        """Return whether a client that has its answer goes on and on with its request."""
        answered = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        self._unwanted = self._unwanted + len(data) if answered else 0
        return self._unwanted > UNWANTED_BYTES

    def _refuse_head(self) -> None:
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        refusal = h11.Response(status_code=431, headers=headers)
        for event in (refusal, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await(self, state: Any) -> None:
        if state is self._awaited:
            return
        self._awaited = state
        if self._late is not None:
            self._late.cancel()
            self._late = None
        within = {h11.IDLE: HEADERS_WITHIN, h11.SEND_BODY: BODY_WITHIN}.get(state)
        if within is not None:
            self._late = self.loop.call_later(within, self.transport.abort)


def websocket_protocol(name: str, frames_per_second: int) -> type[asyncio.Protocol]:
    """Return uvicorn's WebSocket implementation of that name, with the patience limited.

    Args:
        name: ``websockets-sansio`` or ``wsproto``.
        frames_per_second: What a robot may send; more than that and a second's worth of pieces
            never waits for the session.
    """
    implementation: Any = import_from_string(str(WS_PROTOCOLS[name]))

    class TimedWebSocket(FloodGuard, SlowReaderTimeout, implementation):  # type: ignore[misc]  # known at run time
        frames_at_once = frames_per_second + PIECES_PER_SECOND

        def handle_ping(self, *frame: Any) -> None:
            """Answer a ping, and tell the application of it."""
            super().handle_ping(*frame)
            if on_ping := self.scope["extensions"].get(ON_PING):
                on_ping()

        def handle_close(self, event: Any) -> None:
            """Take a close; a broken frame, which wsproto takes for one, is answered first."""
            if name == "wsproto" and not self.close_sent and self.conn.state.name == "OPEN":
                self.transport.write(self.conn.send(event))
            super().handle_close(event)

        async def send(self, message: Any) -> None:
            """Send what the application says, and 404 where it has no WebSocket at the path.

            Litestar closes such a handshake, which uvicorn would answer with an empty 403.
            """
            nowhere = message["type"] == "websocket.close" and message.get("reason") == "Not Found"
            if nowhere and not self.handshake_complete:
                log.warning("handshake refused", outcome=_NOWHERE.outcome, status=_NOWHERE.status)
                for answer in messages(_NOWHERE):
                    await super().send(answer)
            else:
                await super().send(message)

        def on_task_complete(self, task: "asyncio.Task[None]") -> None:
            """Give the peer time to read the end of the connection."""
            super().on_task_complete(task)
            self._watch(LINGER)

    return TimedWebSocket
