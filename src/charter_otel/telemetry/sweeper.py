"""One task for all connections: finds the silent ones, and writes checkpoints of the long ones."""

import asyncio
import math
import time

from charter_otel.aio import end, spawn
from charter_otel.charter import CloseReason
from charter_otel.otel import Instrumentation
from charter_otel.telemetry import spans
from charter_otel.telemetry.gateway import Gateway

_LONGEST_PAUSE = 1.0
_PAUSES_PER_TIMEOUT = 10


class Sweeper:
    """Looks at every connection about once a second.

    A timeout for each receive would cost each frame; a stamp and one sweep cost next to nothing.
    """

    def __init__(self, gateway: Gateway, instrumentation: Instrumentation | None = None) -> None:
        self._gateway = gateway
        self._instrumentation = instrumentation or Instrumentation()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep, in a context that belongs to no request."""
        self._task = spawn(self._run(), "charter-sweeper")

    async def stop(self) -> None:
        """Stop, and wait for the end of the task."""
        task, self._task = self._task, None
        if task is not None:
            await end(task, time.monotonic())

    def sweep(self, now: float) -> None:
        """Look at every connection once, at the monotonic time ``now``."""
        silent_since = now - self._gateway.limits.heartbeat_timeout
        interval = self._gateway.checkpoint_interval
        # A fleet that connected at once must not write all its checkpoints at once for ever.
        checkpoints = 1 + math.ceil(len(self._gateway.connections) * self._pause / interval)
        for connection in self._gateway.connections:
            if connection.last_seen < silent_since:
                connection.end(CloseReason.HEARTBEAT_TIMEOUT)
            elif connection.expires <= now:
                connection.end(CloseReason.TOKEN_EXPIRED)
            elif checkpoints and now - connection.checkpoint_at >= interval:
                checkpoints -= 1
                connection.checkpoint_at = now
                spans.checkpoint(self._instrumentation.tracer, connection)

    @property
    def _pause(self) -> float:
        timeout = self._gateway.limits.heartbeat_timeout
        return min(_LONGEST_PAUSE, timeout / _PAUSES_PER_TIMEOUT)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            self.sweep(time.monotonic())
