"""The life of one accepted connection: frames in, answers out, until either side ends it."""

import asyncio
import contextlib
import time
from typing import Any

import structlog
from litestar import WebSocket
from litestar.exceptions import LitestarException

from charter_otel.charter import CloseReason
from charter_otel.telemetry import frames
from charter_otel.telemetry.admission import HandshakeRefusal, check_token
from charter_otel.telemetry.closing import CODES, classify, close_text
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.extension import DIRECT, Direct
from charter_otel.telemetry.fleet import Robot
from charter_otel.telemetry.frames import BadFrame, Frame, NewToken, Ping, ReadingList
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.readings import take_reading, take_readings

CLOSE_TIMEOUT = 1.0
"""Seconds that a close frame may take; a robot that does not read is left to the server."""

log = structlog.get_logger(__name__)

Socket = WebSocket[Any, Any, Any]


class Session:
    """Receives a robot's frames."""

    __slots__ = (
        "_acknowledge",
        "_allowance",
        "_bad_in_a_row",
        "_counts",
        "_drawn",
        "_gateway",
        "_limits",
        "_listed",
        "_rate",
        "_robot",
        "_socket",
        "_verdict",
        "connection",
    )

    def __init__(
        self,
        socket: Socket,
        connection: Connection,
        robot: Robot,
        gateway: Gateway,
        *,
        acknowledge: bool = False,
    ) -> None:
        self._socket = socket
        self.connection = connection
        self._robot = robot
        self._gateway = gateway
        self._limits = gateway.limits
        self._counts = gateway.connections
        self._acknowledge = acknowledge
        self._listed = (0.0, connection.last_seen)
        """Readings of lists that still count, and when the last ones came."""
        self._rate = self._allowance = float(gateway.limits.max_frames_per_second)
        self._drawn = connection.last_seen
        self._bad_in_a_row = 0
        self._verdict: CloseReason | None = None

    async def run(self) -> CloseReason:
        """Receive until the connection ends, and return the reason.

        Raises:
            asyncio.CancelledError: The task was cancelled by other code than the connection's
                own `end`.
        """
        connection, task = self.connection, asyncio.current_task()
        connection.receiving(task)
        extensions: dict[str, Any] = self._socket.scope.get("extensions") or {}
        direct: Direct | None = extensions.get(DIRECT)
        try:
            if connection.ending is not None:
                return connection.ending
            if direct is not None:
                return classify(await direct(self._take_directly, connection.seen))
            return await self._receive()
        except asyncio.CancelledError:
            if connection.ending is None or task is None or task.uncancel() > 0:
                raise
            return connection.ending
        finally:
            connection.receiving(None)

    async def _receive(self) -> CloseReason:
        """Receive under a server that supports nothing beyond ASGI."""
        receive = self._socket.receive
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return classify(message)
            data: Any = message.get("text") or message.get("bytes") or ""
            if answer := self._take(data):
                await self._send(answer)
            if self._verdict is not None:
                return self._verdict

    def _take_directly(self, data: str | bytes) -> str | None:
        """Take one frame; a frame after the end changes nothing any more."""
        if self.connection.ending is not None:
            return None
        answer = self._take(data)
        if self._verdict is not None:
            self.connection.end(self._verdict)
        return answer

    async def close(self, reason: CloseReason) -> None:
        """Send the close frame that the reason asks for; a robot that is gone is not an error."""
        code = CODES.get(reason)
        if code is None:
            return
        text = close_text(reason, self._gateway.released)
        with contextlib.suppress(OSError, RuntimeError, LitestarException):
            await asyncio.wait_for(self._socket.close(code, text), CLOSE_TIMEOUT)

    def release(self) -> None:
        """Release the connection once it is closed.

        Litestar's socket holds two functions that hold it, and through it the whole connection:
        90 objects that only the garbage collector could free, in pauses of milliseconds.
        """
        with contextlib.suppress(AttributeError):
            del self._socket.receive, self._socket.send

    def _take(self, data: str | bytes) -> str | None:
        """Take one frame, and return the answer to it, if any."""
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
        answer = frame if isinstance(frame, BadFrame) else self._accept(frame)
        if isinstance(answer, BadFrame):
            return self._refuse(answer)
        self._bad_in_a_row = 0
        return answer

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

    def _accept(self, frame: Frame | ReadingList | Ping | NewToken) -> str | BadFrame | None:
        if isinstance(frame, Frame):
            connection, counts = self.connection, self._counts
            counts.frames["reading"] += 1
            connection.frames += 1
            connection.readings += 1
            counts.readings[take_reading(self._robot, frame, connection)] += 1
            return frames.ack(connection.readings) if self._acknowledge else None
        if isinstance(frame, Ping):
            self._counts.frames["ping"] += 1
            return frames.PONG
        return self._renew(frame) if isinstance(frame, NewToken) else self._accept_list(frame)

    def _accept_list(self, readings: ReadingList) -> str | BadFrame | None:
        """Take a list of readings; those that are refused are named and harm no others."""
        taken, refused = readings
        if not self._allows(len(taken) + len(refused)):
            limit = self._limits.max_readings_per_second
            return BadFrame("rate_limited", f"more than {limit} readings a second")
        problem = BadFrame("invalid_reading", frames.refused(readings)) if refused else None
        if not taken:
            return problem
        connection, counts = self.connection, self._counts
        outcomes = take_readings(self._robot, taken, connection)
        counts.frames["readings"] += 1
        counts.readings.update(outcomes)
        counts.readings["refused"] += len(refused)
        connection.frames += 1
        connection.readings += len(taken)
        if self._acknowledge:
            return frames.ack_list(connection.readings, outcomes, refused)
        return frames.error(problem) if problem else None

    def _allows(self, count: int) -> bool:
        """Draw from an allowance for lists, which is never smaller than one list of full length."""
        rate = max(self._limits.max_readings_per_second, frames.MAX_READINGS)
        level, at = self._listed
        now = self.connection.last_seen
        level = max(0.0, level - (now - at) * rate)
        allowed = level + count <= rate
        self._listed = (level + count if allowed else level, now)
        return allowed

    def _renew(self, frame: NewToken) -> str | BadFrame:
        """Take a new token in place of the handshake's; one that is refused changes nothing."""
        secrets = self._gateway.secrets
        expires_at = None
        if secrets:
            verdict = check_token(secrets, self.connection.robot_id, frame.token)
            if isinstance(verdict, HandshakeRefusal):
                return BadFrame("invalid_token", verdict.detail)
            expires_at = verdict.expires_at
            self.connection.expire_at(expires_at)
            labels = self._gateway.labels.choose(verdict.labels)
            self.connection.labels = self._robot.labels = labels
        self._counts.frames["token"] += 1
        return frames.renewed(expires_at)

    def _refuse(self, bad: BadFrame) -> str:
        self._counts.frames[bad.code] += 1
        if bad.code == "invalid_reading":
            self._counts.readings["refused"] += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row >= self._limits.max_bad_frames and self._verdict is None:
            limited = bad.code == "rate_limited"
            self._verdict = CloseReason.RATE_LIMITED if limited else CloseReason.PROTOCOL_ERROR
        return frames.error(bad)

    async def _send(self, answer: str) -> None:
        # If the robot vanished, or the server has closed by now (a RuntimeError), the next receive
        # finds it and knows the reason.
        with contextlib.suppress(OSError, RuntimeError):
            await self._socket.send({"type": "websocket.send", "text": answer, "bytes": None})
