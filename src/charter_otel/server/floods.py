"""Floods of small things: what costs the service much and the peer next to nothing ends early.

A read from a connection brings up to 256 KiB, and uvicorn's parsers go through all of it before
anybody else gets a turn. Forty thousand empty frames fit into that, or as many chunks of one byte,
and take most of a second. uvicorn also answers each ping at once, however much waits to be read.
"""

import asyncio
import struct
import time
from typing import Any

import h11

from charter_otel.telemetry.closing import CLOSED_BY, SERVICE

PIECES_PER_SECOND = 1_000
"""Pings, pongs and fragments that a robot may send in a second; a busy one needs a few."""
SLICE = 4_096
"""Bytes that are parsed between two looks at what came of them."""
LATE_BYTES = 65_536
"""Bytes that a robot may send between our close frame and its own: what was under way."""

FREE_CHUNKS = 1_000
"""Chunks of a body that may be as small as they like."""
CHUNK_BYTES = 64
"""Bytes that each has on average from then on; clients send thousands."""
UNWANTED_BYTES = 8_388_608
"""Bytes of a body that a client may still send once it has its answer: the longest one's rest."""

CODE = 4429
_REASON = b"rate_limited"
_CLOSE = struct.pack("!BBH", 0x88, 2 + len(_REASON), CODE) + _REASON
"""The close frame (RFC 6455, section 5.5.1)."""


class Allowance:
    """What may be spent: it fills up to one second's worth.

    Args:
        per_second: How much it fills in a second.
    """

    __slots__ = ("_at", "_left", "_per_second")

    def __init__(self, per_second: int) -> None:
        self._per_second = self._left = float(per_second)
        self._at = time.monotonic()

    def spend(self) -> bool:
        """Take one; False where there is none."""
        if self._left < 1:
            now = time.monotonic()
            earned = (now - self._at) * self._per_second
            self._left, self._at = min(self._per_second, self._left + earned), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class FloodGuard(asyncio.Protocol):
    """Mixed into one of uvicorn's WebSocket protocols: ends the connection of a robot that floods.

    Readings beyond the limit are the session's to refuse, one by one; this is for the robot that
    sends so many at once that nobody gets round to it, and for frames that no session sees.
    """

    transport: asyncio.Transport
    queue: "asyncio.Queue[Any]"
    close_sent: bool
    frames_at_once: int
    """Frames that may wait for the session."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._pieces = Allowance(PIECES_PER_SECOND)
        self._late = 0

    def data_received(self, data: bytes) -> None:
        """Parse what came, a slice at a time."""
        for start in range(0, len(data), SLICE):
            piece = data[start : start + SLICE]
            super().data_received(piece)
            if self.close_sent:
                self._late += len(piece)
            if self.queue.qsize() > self.frames_at_once or self._late > LATE_BYTES:
                self._end()
            if self.transport.is_closing():
                return

    def handle_ping(self, *event: Any) -> None:
        """Answer a ping."""
        if self._spend():
            super().handle_ping(*event)  # type: ignore[misc]  # uvicorn's protocols have it

    def handle_pong(self, event: Any) -> None:
        """Take a pong."""
        if self._spend():
            super().handle_pong(event)  # type: ignore[misc]

    def handle_cont(self, event: Any) -> None:
        """Take a fragment: the sansio implementation's method."""
        if event.fin or self._spend():
            super().handle_cont(event)  # type: ignore[misc]

    def handle_message(self, event: Any) -> None:
        """Take a fragment, or part of one that has not come whole: wsproto's method."""
        if event.message_finished or not event.frame_finished or self._spend():
            super().handle_message(event)  # type: ignore[misc]

    def _spend(self) -> bool:
        if self._pieces.spend():
            return True
        self._end()
        return False

    def _end(self) -> None:
        if self.transport.is_closing():
            return
        if self.close_sent:
            self.transport.abort()
            return
        self.close_sent = True
        self.queue.put_nowait(
            {
                "type": "websocket.disconnect",
                "code": CODE,
                "reason": _REASON.decode(),
                CLOSED_BY: SERVICE,
            }
        )
        self.transport.write(_CLOSE)
        self.transport.close()


class ChunkLimit(h11.Connection):
    """h11's connection, which takes no body in crumbs."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        """Return what came next.

        Raises:
            h11.RemoteProtocolError: As h11, or the body comes in too many too small chunks.
        """
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            # The last one may have begun only.
            wanted = (self._chunks - 1) * CHUNK_BYTES
            if self._chunks > FREE_CHUNKS and self._bytes < wanted:
                raise h11.RemoteProtocolError("the body comes in too many too small chunks")
        elif isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        return event
