"""The stream of the demonstration: within the process, but it can fail for a while."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from charter_otel.aio import end, spawn
from charter_otel.charter import Event, decode, encode
from charter_otel.charter.ids import MINUTE, milliseconds
from charter_otel.streams.memory import MemoryStream
from charter_otel.streams.outbox import Outbox
from charter_otel.streams.pending import PendingEvent
from charter_otel.streams.spool.spool import Spool
from charter_otel.streams.types import DropReason, Statistics

REASON = "taken away by the demo's story"
"""Reason of the outage, as `/readyz` shows it."""

_DRAIN_WITHIN = 2.0

log = structlog.get_logger(__name__)


class InterruptibleStream(MemoryStream):
    """A stream within the process that can be unreachable, as Redis can.

    Meanwhile events wait in an outbox and on disk, as with a stream in Redis, and are
    replayed in order when it is back.

    Args:
        spool: Directory where events wait.
        options: Those of `MemoryStream`.
    """

    def __init__(self, spool: Path, **options: Any) -> None:
        super().__init__(**options)
        self._outbox = Outbox(drop=self._give_up, spool=Spool(spool, "demo"))
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._publisher: asyncio.Task[None] | None = None
        self._waited = 0

    def interrupt(self) -> None:
        """Start an outage."""
        self._reachable.clear()
        self._since = time.monotonic()
        log.warning("event stream unreachable", stream=self.system, error=REASON)

    def restore(self) -> None:
        """End the outage, and replay the waiting events."""
        if not self._reachable.is_set():
            self._reachable.set()
            self._since = time.monotonic()
            log.info("event stream reachable again", stream=self.system, waiting=len(self._outbox))

    def publish_nowait(
        self, event: Event, *, encoded: bytes | None = None, traceparent: str | None = None
    ) -> bool:
        """Pass an event to the subscribers, or to the outbox if some wait there already."""
        if self._reachable.is_set() and not len(self._outbox):
            return super().publish_nowait(event, encoded=encoded, traceparent=traceparent)
        data = encode(event) if encoded is None else encoded
        minute = milliseconds(event.id) // MINUTE
        return self._bridge.run(self._wait, PendingEvent(event.id, minute, data, traceparent))

    async def start(self) -> None:
        """Start to deliver."""
        await super().start()
        await self._outbox.open()
        self._publisher = spawn(self._publish(), "charter demo publisher")

    async def stop(self, deadline: float = 5.0) -> None:
        """Replay the waiting events, deliver them and stop."""
        until = time.monotonic() + deadline
        self.restore()
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(deadline, _DRAIN_WITHIN)):
                    await self._outbox.drained()
            await end(publisher, time.monotonic())
            await self._outbox.close(until)
        await super().stop(max(0.0, until - time.monotonic()))

    def statistics(self) -> Statistics:
        """Return the statistics of the stream, waiting events included."""
        counts = self._outbox.counts()
        known = super().statistics()
        away = not self._reachable.is_set()
        return known._replace(
            connected=known.connected and not away,
            error=REASON if away else None,
            queued=counts.queued,
            spooled=counts.spooled,
            accepted=known.accepted + counts.queued + counts.spooled,
            replayed=self._waited,
        )

    async def _publish(self) -> None:
        while True:
            batch = await self._outbox.take()
            if not self._reachable.is_set():
                self._outbox.give_back()
                await self._reachable.wait()
                continue
            for pending in batch:
                super().publish_nowait(decode(pending.data), traceparent=pending.traceparent)
            self._waited += len(batch)
            self._outbox.done()

    def _wait(self, event: PendingEvent) -> bool:
        self._outbox.put(event)
        return True

    def _give_up(self, count: int, reason: DropReason) -> None:
        self._dropped += count
        self.observer.dropped(count, reason)
