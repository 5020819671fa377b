"""The last word of a connection reaches the peer.

With bytes unread behind it a closed socket resets the connection, and the peer's system throws away
what it has not read yet. So only our half is closed, and what still comes is thrown away until the
peer closes its own, for so long and so many bytes.
"""

import asyncio

from charter_otel.server import patience
from charter_otel.server.floods import LATE_BYTES
from charter_otel.server.patience import SlowReaderTimeout


class LastWord(SlowReaderTimeout):
    """A connection that can end so that the peer reads why."""

    _late_bytes = 0
    _lingering: asyncio.TimerHandle | None = None

    def end_with(self, last: bytes) -> None:
        """Send the last word; the protocol gives all that comes from now on to `throw_away`."""
        self.transport.write(last)
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingering = self.loop.call_later(patience.LINGER, self.transport.abort)

    def throw_away(self, data: bytes) -> None:
        """Throw away what came too late, and lose patience where it does not end."""
        self._late_bytes += len(data)
        if self._late_bytes > LATE_BYTES:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)
