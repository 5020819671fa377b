"""The patience with peers is limited: who does not send or read must go.

Without a limit a connection would wait without end for a request to come whole, and for a peer to
read what it was sent, after the close of the connection too. Either holds memory and a file for
nothing.
"""

import asyncio

HEADERS_WITHIN = 10.0
"""Seconds in which the headers of a request, or of a handshake, must have come."""
BODY_WITHIN = 60.0
"""Seconds in which its body must have come."""
READ_WITHIN = 60.0
"""Seconds in which a peer must read something of what waits for it; the system reports that in
steps of a megabyte or so, which a slow link takes a while for."""
LINGER = 5.0
"""Seconds in which a peer must have answered our last word; what still comes is thrown away."""

MAX_HEADER_BYTES = 16_384
"""Bytes of a request's line and headers."""


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
