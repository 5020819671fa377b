"""The consumer that writes the audit log, from the durable stream."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from charter_otel.charter import Event, encode
from charter_otel.consumers.audit.log import MAX_BYTES, AuditLog
from charter_otel.consumers.base import Consumer
from charter_otel.streams import EventStream

GROUP = "charter.audit"

log = structlog.get_logger(__name__)


class Audit(Consumer):
    """Writes every event into the audit log, once.

    The handler returns when the disk has the rows, and only then the stream counts the events as
    handled: a crash at any point delivers them again, and a row is there once. A disk that does
    not take them makes the stream deliver again.

    Args:
        directory: Where the log lies.
        types: Event types or patterns to record; the specification asks for ``telemetry.*``, and
            all lets one id lead from a failed job's page to its row too.
        max_bytes: Size from which a new file is begun.
    """

    name = "audit"

    def __init__(
        self, directory: Path, *, types: tuple[str, ...] = ("*",), max_bytes: int = MAX_BYTES
    ) -> None:
        self.log = AuditLog(directory, max_bytes=max_bytes)
        self._types = types
        self._writing = asyncio.Lock()

    def attach(self, stream: EventStream) -> None:
        """Subscribe, from the earliest event that the stream holds."""
        stream.subscribe_batch(*self._types, group=GROUP, start="earliest")(self.record)

    async def start(self) -> None:
        """Open the log.

        Raises:
            AuditLogError: Another process writes it, or its last row is broken.
        """
        async with self._writing:
            await asyncio.to_thread(self.log.open)

    async def stop(self) -> None:
        """Close the log; its head goes into the service's own log, where a third party keeps it."""
        async with self._writing:
            await asyncio.to_thread(self.log.close)
        log.info("audit log closed", rows=self.log.rows, head=self.log.head)

    async def record(self, events: Sequence[Event]) -> None:
        """Write events; returns when the disk has them, for which it is asked once."""
        async with self._writing:
            await asyncio.to_thread(self.log.extend, [(e.id, encode(e)) for e in events])
