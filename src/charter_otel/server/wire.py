"""One client's WebSocket on the wire: frames in and out, flow control, the closing handshake."""

import asyncio
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from charter_otel.aio import Allowance
from charter_otel.charter import CloseReason
from charter_otel.server import frames, timeouts
from charter_otel.server.floods import PIECES_PER_SECOND
from charter_otel.server.frames import FrameError, FrameReader, LateFrames
from charter_otel.server.lingering_close import LingeringClose
from charter_otel.server.responses import response
from charter_otel.telemetry.closing import CLOSED_BY, CODES, ROBOT, SERVICE
from charter_otel.telemetry.pending_handshakes import PendingHandshake

MAX_EARLY_BYTES = 65_536
"""Bytes that a client may send before it is accepted."""

Message = Mapping[str, Any]


class WireState(Enum):
    """The state of a connection."""

    HANDSHAKE = 1
    REFUSED = 2
    """The answer has begun; its body is still to come."""
    OPEN = 3
    CLOSING = 4
    """Our last message is sent; bytes that still come are discarded."""
    CLOSED = 5


class FrameProtocol(LingeringClose):
    """The part of a WebSocket that is independent of ASGI."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.pending_handshake = PendingHandshake()
        self._config = config
        self._server = server_state
        self._state = WireState.HANDSHAKE
        self._early = b""
        self._reader = FrameReader(config.ws_max_size, self._message, self._control, self._spend)
        self._late: LateFrames | None = None
        self._pieces: Allowance | None = None
        self._pong_due = False
        self._writable: asyncio.Future[None] | None = None
        self._seen: Callable[[], None] = _ignore

    @abstractmethod
    def _message(self, data: str | bytes) -> None:
        """Take a message."""

    @abstractmethod
    def _report_disconnect(self, disconnect: Message) -> None:
        """Notify the application, once, that the connection has ended."""

    # Incoming data

    def data_received(self, data: bytes) -> None:
        """Take the client's bytes according to the connection's state."""
        if self._state is WireState.OPEN:
            self._read(data)
        elif self._state is WireState.CLOSING:
            self.throw_away(data)
            if self._late is not None and self._late.has_close(data):
                self.transport.close()
        elif self._state is not WireState.CLOSED:
            self._early += data
            if len(self._early) > MAX_EARLY_BYTES:
                self.transport.pause_reading()

    def _read(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except FrameError as error:
            self._end(error.code, error.reason)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == frames.CLOSE:
            self._answer_close(payload)
        elif self._spend() and opcode == frames.PING:
            self._seen()
            self.transport.write(frames.encode(payload, frames.PONG))
        elif opcode == frames.PONG:
            self._pong_due = False

    def _answer_close(self, payload: bytes) -> None:
        close = frames.decode_close(payload)
        self._report_disconnect({"code": close.code, "reason": close.reason, CLOSED_BY: ROBOT})
        self.transport.write(frames.encode_close(close.code))
        self._state = WireState.CLOSED
        self._reader.stopped = True
        self.transport.close()
        self._watch(timeouts.LINGER)

    def _spend(self) -> bool:
        """Charge a ping, a pong or a fragment to the allowance, and end a flood of them."""
        if self._pieces is None:
            self._pieces = Allowance(PIECES_PER_SECOND)
        if self._pieces.spend():
            return True
        self._end_flood()
        return False

    # The end

    def _end_flood(self) -> None:
        self._end(CODES[CloseReason.RATE_LIMITED], CloseReason.RATE_LIMITED.value)

    def _end(self, code: int, reason: str) -> None:
        """Close the connection before the application does, and notify it."""
        if self._state is WireState.OPEN:
            self._report_disconnect({"code": code, "reason": reason, CLOSED_BY: SERVICE})
            self._close(code, reason)

    def _close(self, code: int, reason: str) -> None:
        self._reader.stopped = True
        self._late = LateFrames(self._reader.rest)
        self._finish(frames.encode_close(code, reason))

    def _finish(self, last: bytes) -> None:
        self._state = WireState.CLOSING
        self.end_with(last)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the application, unless it has been notified."""
        super().connection_lost(exc)
        self.pending_handshake.leave()
        self._report_disconnect({"code": 1006})
        self._state = WireState.CLOSED
        # It refers back to us: a cycle that only the garbage collector could free.
        del self._reader
        self._server.connections.discard(self)
        self._let_write()

    def shutdown(self) -> None:
        """End the connection, as the server does."""
        if self._state is WireState.OPEN:
            reason = CloseReason.SERVER_SHUTDOWN
            self._end(CODES[reason], reason.value)
        elif self._state is WireState.HANDSHAKE:
            self._report_disconnect({"code": 1006})
            self._finish(response(503, [(b"retry-after", b"1")]))

    def ping(self) -> bool:
        """Send a ping; return False if the last one has not been answered."""
        if self._state is not WireState.OPEN:
            return False
        if self._pong_due:
            self._report_disconnect({"code": 1006})
            self._close(1011, "keepalive ping timeout")
            return False
        self._pong_due = True
        self.transport.write(frames.encode(os.urandom(4), frames.PING))
        return True

    # Flow control

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        super().pause_writing()
        self._writable = self.loop.create_future()
        if self._state is WireState.OPEN:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Resume reading."""
        self._let_write()
        if self._state is WireState.OPEN:
            self.transport.resume_reading()

    def _let_write(self) -> None:
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None


def _ignore() -> None:
    """Ignore a heartbeat for which nothing waits."""
