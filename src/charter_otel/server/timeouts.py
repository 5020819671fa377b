"""Time limits for peers that do not send or read.

Without a limit, a connection would wait for ever for the rest of a request. It would also wait for
a peer to read its answer, even after the close. Either wastes memory and a file descriptor.
"""

import asyncio

HEADERS_WITHIN = 10.0
"""Seconds in which the headers of a request, or of a handshake, must have come."""
BODY_WITHIN = 60.0
"""Seconds in which its body must have come."""
READ_WITHIN = 60.0
"""Seconds in which a peer must read some of the data that waits for it; the system reports that in
steps of a megabyte or so, for which a slow link needs a while."""
LINGER = 5.0
"""Seconds in which a peer must have answered our last message; bytes until then are discarded."""

MAX_HEADER_BYTES = 16_384
"""Most bytes of a request's line and headers."""


class SlowReaderTimeout(asyncio.Protocol):
    """Ends a connection whose peer reads none of the data that waits for it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Start to watch the peer."""
        super().pause_writing()
        self._watch(READ_WITHIN)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
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
