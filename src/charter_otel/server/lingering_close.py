"""Delivers the last message of a connection to the peer.

A socket that is closed with bytes unread resets the connection. The peer's system then discards the
data that the peer has not read yet. So only our half is closed. Bytes that still come are discarded
until the peer closes its half, within limits of time and bytes.
"""

import asyncio

from charter_otel.server import timeouts
from charter_otel.server.floods import LATE_BYTES
from charter_otel.server.timeouts import SlowReaderTimeout


class LingeringClose(SlowReaderTimeout):
    """A connection that can end so that the peer receives the reason."""

    _late_bytes = 0
    _lingering: asyncio.TimerHandle | None = None

    def end_with(self, last: bytes) -> None:
        """Send the last message; the protocol passes all bytes from now on to `throw_away`."""
        self.transport.write(last)
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingering = self.loop.call_later(timeouts.LINGER, self.transport.abort)

    def throw_away(self, data: bytes) -> None:
        """Discard late bytes, and abort the connection if there are too many."""
        self._late_bytes += len(data)
        if self._late_bytes > LATE_BYTES:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)
