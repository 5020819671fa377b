"""HTTP/1.1 on llhttp: uvicorn's protocol with the limits that a fleet needs.

llhttp has none. Here a request must arrive in time, its head must be short, and its body must not
arrive in tiny chunks. A request that two servers may understand in two ways is refused.
"""

import asyncio
from enum import Enum
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from charter_otel.server import timeouts
from charter_otel.server.floods import CHUNK_BYTES, FREE_CHUNKS, SLICE, UNWANTED_BYTES
from charter_otel.server.handshake import Handshake, is_upgrade
from charter_otel.server.lingering_close import LingeringClose
from charter_otel.server.responses import response
from charter_otel.server.timeouts import MAX_HEADER_BYTES
from charter_otel.telemetry.pending_handshakes import PendingHandshake

_LINE = len(b"  HTTP/1.1\r\n\r\n")
"""Bytes of a head beside method, target and headers."""
_COLON = len(b": \r\n")
"""Bytes of a header beside its name and its value."""


class Phase(Enum):
    """The part that a client has to send next."""

    IDLE = "a request, whenever it likes"
    HEAD = "the rest of a request's head"
    BODY = "the rest of its body"


class RequestRefused(Exception):  # noqa: N818 - it says what became of the request
    """A request that is refused.

    Args:
        status: HTTP status of the answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


class HTTPProtocol(LingeringClose, HttpToolsProtocol):
    """One client's connection: one request after the other, until it asks for a WebSocket."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.pending_handshake = PendingHandshake()
        self._phase = Phase.IDLE
        self._late: asyncio.TimerHandle | None = None
        self._ended = False
        """Whether reading has ended."""
        self._head = self._unparsed = 0
        """Bytes of the request's head that are parsed, and that have come."""
        self._chunks = self._body = 0
        self._chunk_begins = False
        self._unwanted = 0
        """Bytes of a body that came when its answer was given."""
        self._pending = b""
        """Bytes that came behind requests that are not answered yet."""

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._enter(Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        self.pending_handshake.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read received bytes, as far as the requests before them are answered."""
        self._unset_keepalive_if_required()
        if self._ended:
            self.throw_away(data)
            return
        pending = memoryview(self._pending + data)
        self._pending = b""
        for start in range(0, len(pending), SLICE):
            if self.pipeline:
                # One request waits for the answer to another: the rest stays unread.
                self._pending = bytes(pending[start:])
                return
            if not self._read(pending[start : start + SLICE]):
                return

    def _read(self, data: memoryview) -> bool:
        """Read a part, and return whether more is to be read."""
        if self._phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = bytes(data[upgrade.args[0] :])
            if self._should_upgrade():
                self._hand_over(rest)
            elif rest:
                self._read(memoryview(rest))
            return not self._ended
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, RequestRefused) else 400)
            return False
        if self._phase is Phase.HEAD and self._unparsed > MAX_HEADER_BYTES:
            self._refuse(431)
        elif self._phase is Phase.BODY and self.cycle.response_complete:
            self._unwanted += len(data)
            if self._unwanted > UNWANTED_BYTES:
                self.transport.abort()
        return not self._ended

    # Callbacks of llhttp

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head, self._chunks, self._body, self._unwanted = _LINE, 0, 0, 0
        self._chunk_begins = False
        self._enter(Phase.HEAD)

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one behind the body changes none of the decisions that the others made."""
        self._count_head(len(name) + len(value) + _COLON)
        if self._phase is Phase.HEAD:
            # llhttp leaves white space behind a value, which is not a part of it (RFC 9112, 5.1).
            super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Check the head, and start the application."""
        self._count_head(len(self.parser.get_method()))
        self._check_head()
        super().on_headers_complete()
        if self.parser.should_upgrade() and not self._should_upgrade():
            # Only an upgrade to WebSocket is supported, and llhttp stops at any upgrade.
            self.cycle.keep_alive = False
        self._enter(Phase.BODY)

    def on_chunk_header(self) -> None:
        """Begin a chunk."""
        self._chunk_begins = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._chunks += self._chunk_begins
        self._chunk_begins = False
        self._body += len(body)
        # The last chunk may have only begun.
        if self._chunks > FREE_CHUNKS and self._body < (self._chunks - 1) * CHUNK_BYTES:
            raise RequestRefused(400)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request: the next one may come at any time."""
        super().on_message_complete()
        self._unparsed = 0
        self._enter(Phase.IDLE)

    def _count_head(self, count: int) -> None:
        self._head += count
        if self._head > MAX_HEADER_BYTES:
            raise RequestRefused(431)

    def _check_head(self) -> None:
        """Refuse heads that two servers in a row may read differently (RFC 9112, section 11.2)."""
        version = self.parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            raise RequestRefused(505)
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and version == "1.1"):
            raise RequestRefused(400)
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if not codings:
            return
        if version == "1.0" or any(name == b"content-length" for name, _ in self.headers):
            raise RequestRefused(400)
        if codings != [b"chunked"]:
            raise RequestRefused(501)

    # WebSockets

    def _should_upgrade(self) -> bool:
        return is_upgrade(self.headers)

    def _hand_over(self, rest: bytes) -> None:
        """Hand over to the WebSocket protocol."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(400)
            return
        self._stop()
        self.connections.discard(self)
        handshake = Handshake(self.scope["method"].encode(), self.url, self.headers)
        protocol: Any = self.ws_protocol_class
        robot = protocol(self.config, self.server_state, self.app_state)
        robot.pending_handshake = self.pending_handshake
        robot.open(self.transport, handshake, rest)

    # The end of a request, and of the connection

    def on_response_complete(self) -> None:
        """Watch whether the peer reads the response, and read the next requests."""
        super().on_response_complete()
        self._watch(timeouts.READ_WITHIN)
        if self._pending and not self.pipeline and not self.transport.is_closing():
            self.loop.call_soon(self.data_received, b"")

    def _refuse(self, status: int) -> None:
        """Answer that the request is wrong, unless another answer is in progress."""
        cycle, in_body = self.cycle, self._phase is Phase.BODY
        self._stop()
        if cycle is None or (cycle.response_complete and not in_body):
            self.end_with(response(status))
        elif in_body and not cycle.response_started:
            cycle.disconnected = True
            cycle.message_event.set()
            self.end_with(response(status))
        elif cycle.response_complete:
            self.transport.close()
        else:
            cycle.keep_alive = False

    def _stop(self) -> None:
        self._ended = True
        self._pending = b""
        self._enter(Phase.IDLE)

    def _enter(self, phase: Phase) -> None:
        """Enter a phase, with its time limit."""
        self._phase = phase
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if phase is not Phase.IDLE:
            within = timeouts.HEADERS_WITHIN if phase is Phase.HEAD else timeouts.BODY_WITHIN
            self._late = self.loop.call_later(within, self.transport.abort)
