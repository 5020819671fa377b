"""The life of one accepted connection: frames in, answers out, until somebody ends it."""

import asyncio
import contextlib
import time
from typing import Any

import structlog
from litestar import WebSocket
from litestar.exceptions import LitestarException

from charter_otel.charter import CloseReason
from charter_otel.telemetry import frames
from charter_otel.telemetry.closing import CODES, classify
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Robot, take_reading
from charter_otel.telemetry.frames import BadFrame, Frame
from charter_otel.telemetry.gateway import Gateway

CLOSE_TIMEOUT = 1.0
"""Seconds that a close frame may take; a robot that does not read is left to the server."""

ON_PING = "charter.on_ping"
"""ASGI extension: what a server that sees a robot's ping frames calls for each of them.

ASGI itself has no message for them, so under another server only the application's frames count
as signs of life.
"""

log = structlog.get_logger(__name__)

Socket = WebSocket[Any, Any, Any]


class Session:
    """Receives a robot's frames.

    Args:
        socket: The accepted WebSocket.
        connection: Its entry among the open connections.
        robot: The robot whose readings come.
        gateway: Limits and counts.
    """

    __slots__ = (
        "_acknowledge",
        "_allowance",
        "_bad_in_a_row",
        "_counts",
        "_drawn",
        "_limits",
        "_rate",
        "_robot",
        "_socket",
        "_verdict",
        "connection",
    )

    def __init__(
        self, socket: Socket, connection: Connection, robot: Robot, gateway: Gateway
    ) -> None:
        self._socket = socket
        self.connection = connection
        self._robot = robot
        self._limits = gateway.limits
        self._counts = gateway.connections.frames
        self._acknowledge = _asks_for_acks(socket)
        self._rate = self._allowance = float(gateway.limits.max_frames_per_second)
        self._drawn = connection.last_seen
        self._bad_in_a_row = 0
        self._verdict: CloseReason | None = None

    async def run(self) -> CloseReason:
        """Receive until the connection ends, and tell why it does.

        Raises:
            asyncio.CancelledError: The task was cancelled by somebody else than the connection's
                own `end`.
        """
        connection, receive, task = self.connection, self._socket.receive, asyncio.current_task()
        connection.receiving(task)
        extensions: dict[str, Any] | None = self._socket.scope.get("extensions")
        if extensions is not None:
            extensions[ON_PING] = connection.seen
        try:
            if connection.ending is not None:
                return connection.ending
            # One frame less waits for each robot where the loop stands here.
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return classify(message)
                data: Any = message.get("text") or message.get("bytes") or ""
                if answer := self._take(data):
                    await self._send(answer)
                if self._verdict is not None:
                    return self._verdict
        except asyncio.CancelledError:
            if connection.ending is None or task is None or task.uncancel() > 0:
                raise
            return connection.ending
        finally:
            connection.receiving(None)

    async def close(self, reason: CloseReason) -> None:
        """Send the close frame that the reason asks for; a robot that is gone is no error."""
        code = CODES.get(reason)
        if code is None:
            return
        with contextlib.suppress(OSError, RuntimeError, LitestarException):
            await asyncio.wait_for(self._socket.close(code, reason.value), CLOSE_TIMEOUT)

    def _take(self, data: str | bytes) -> str | None:
        """Take one frame and give the answer to it, if any."""
        if not self._allowed():
            bad = BadFrame(
                "rate_limited", f"more than {self._limits.max_frames_per_second} frames a second"
            )
            return self._refuse(bad)
        if len(data) > self._limits.max_frame_bytes:
            self._verdict = CloseReason.MESSAGE_TOO_BIG
            return self._refuse(
                BadFrame("message_too_big", f"more than {self._limits.max_frame_bytes} bytes")
            )
        frame = frames.parse(data)
        if isinstance(frame, BadFrame):
            return self._refuse(frame)
        self._bad_in_a_row = 0
        return self._accept(frame)

    def _allowed(self) -> bool:
        """Draw from an allowance that fills at the permitted rate up to one second's worth."""
        now, rate = time.monotonic(), self._rate
        allowance = self._allowance + (now - self._drawn) * rate
        self.connection.last_seen = self._drawn = now
        if allowance > rate:  # noqa: PLR1730 - min() costs each frame a call
            allowance = rate
        allowed = allowance >= 1
        self._allowance = allowance - 1 if allowed else allowance
        return allowed

    def _accept(self, frame: Frame | frames.Ping) -> str | None:
        if isinstance(frame, frames.Ping):
            self._counts["ping"] += 1
            return frames.PONG
        self._counts["reading"] += 1
        self.connection.frames += 1
        take_reading(self._robot, frame)
        return frames.ack(self.connection.frames) if self._acknowledge else None

    def _refuse(self, bad: BadFrame) -> str:
        self._counts[bad.code] += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row >= self._limits.max_bad_frames and self._verdict is None:
            limited = bad.code == "rate_limited"
            self._verdict = CloseReason.RATE_LIMITED if limited else CloseReason.PROTOCOL_ERROR
        return frames.error(bad)

    async def _send(self, answer: str) -> None:
        # A robot that vanished, or whom the server has closed by now (a RuntimeError), is found by
        # the receive that comes to it, which knows how it went.
        with contextlib.suppress(OSError, RuntimeError):
            await self._socket.send({"type": "websocket.send", "text": answer, "bytes": None})


def _asks_for_acks(socket: Socket) -> bool:
    # Litestar keeps what it has parsed as long as the connection lives.
    return bool(socket.scope["query_string"]) and socket.query_params.get("ack") == "1"
