"""The consumer that writes the audit log, from the durable stream."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
from opentelemetry._logs import SeverityNumber

from charter_otel.aio import describe, end, spawn
from charter_otel.charter import Event, encode
from charter_otel.consumers.audit.log import MAX_BYTES, AuditLog, Head
from charter_otel.consumers.audit.segments import AuditLogError
from charter_otel.consumers.base import ExclusiveConsumer, unwritable
from charter_otel.otel import Instrumentation
from charter_otel.redis.errors import FAILURES
from charter_otel.streams import EventStream, Lease, NotNow

GROUP = "charter.audit"

TICK = 1.0
"""Seconds between two checks of the log's file, and of whether this process holds the group."""

ANCHOR_EVERY = 3600.0
"""Seconds between two lines that report the head."""

_FAILURES = (OSError, AuditLogError, sqlite3.Error)

log = structlog.get_logger(__name__)


class Audit(ExclusiveConsumer):
    """Writes every event into the audit log, once; one of several instances does so.

    The handler returns when the disk has the rows, and only then does the stream count the events
    as handled. After a crash at any point they are delivered again, and each still has one row.
    While the log cannot be written, the events wait in the stream, and `trouble` says why.

    Args:
        directory: Where the log lies.
        types: Event types or patterns to record. The specification asks for ``telemetry.*``; with
            all types, one id also leads from a failed job's page to its row.
        max_bytes: Size from which a new file is begun.
        instrumentation: Where the log's head is published, beside the service's own log.
    """

    name = "audit"

    def __init__(
        self,
        directory: Path,
        *,
        types: tuple[str, ...] = ("*",),
        max_bytes: int = MAX_BYTES,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        super().__init__()
        self.log = AuditLog(directory, max_bytes=max_bytes, anchor=self._log_head)
        self._instrumentation = instrumentation or Instrumentation()
        self._types = types
        self._writing = asyncio.Lock()
        """Held around each call of the log, whose methods block and are not thread-safe."""
        self._task: asyncio.Task[None] | None = None

    def attach(self, stream: EventStream) -> None:
        """Subscribe, from the earliest event that the stream holds."""
        self._holds = False
        stream.subscribe_batch(
            *self._types, group=GROUP, start="earliest", take_over=self._take_over
        )(self.record)

    async def start(self) -> None:
        """Start to check the log; if it cannot be opened, try again."""
        self._task = spawn(self._look_after(), "charter consumer audit")

    async def stop(self) -> None:
        """Close the log, and report its head in the service's own log, kept by a third party."""
        if self._task is not None:
            await end(self._task, time.monotonic())
            self._task = None
        await self._close()

    async def record(self, events: Sequence[Event]) -> None:
        """Write events; return when the disk has them, after one fsync for all.

        Raises:
            NotNow: The log cannot be written.
        """
        self._holds = True
        given = [(event.id, encode(event)) for event in events]
        async with self._writing:
            try:
                await asyncio.to_thread(self.log.extend, given)
            except _FAILURES as error:
                self.trouble = _explain(error, self.log.directory)
                raise NotNow(self.trouble) from error
            self.trouble = None
        await self._hand_on()

    async def _take_over(self, lease: Lease) -> None:
        left = await lease.load()
        async with self._writing:
            await asyncio.to_thread(self.log.close)
            try:
                if left:
                    self.log.expected = msgspec.json.decode(left, type=Head)
            except (msgspec.DecodeError, UnicodeError) as error:
                log.warning("audit log: the last writer's state is unreadable", error=str(error))
        self._lease = lease

    async def _hand_on(self) -> None:
        """Leave the head to the next holder; while Redis is away, try again with the next rows."""
        if self._lease is not None:
            try:
                await self._lease.save(msgspec.json.encode(self.log.last))
            except FAILURES as error:
                log.debug("audit log: the head will be handed over later", error=describe(error))

    async def _look_after(self) -> None:
        anchored = time.monotonic()
        while True:
            if self._lease is not None and self._lease.held:
                await self._open()
            elif self.log.is_open:
                await self._close()
            if time.monotonic() - anchored >= ANCHOR_EVERY:
                anchored = time.monotonic()
                if self.log.is_open:
                    self._log_head(self.log.rows, self.log.head)
            await asyncio.sleep(TICK)

    def _log_head(self, rows: int, head: str) -> None:
        """Report the chain's head, so that a copy elsewhere reveals a cut tail."""
        log.info("audit log anchored", rows=rows, head=head)
        self._instrumentation.logger.emit(
            timestamp=time.time_ns(),
            severity_text="INFO",
            severity_number=SeverityNumber.INFO,
            body=f"audit log anchored: {rows} rows, head {head}",
        )

    async def _open(self) -> None:
        async with self._writing:
            try:
                await asyncio.to_thread(self._look)
            except _FAILURES as error:
                if self.trouble is None:
                    log.warning("audit log cannot be written, events wait", error=describe(error))
                self.trouble = _explain(error, self.log.directory)
            else:
                self.trouble = None

    def _look(self) -> None:
        self.log.check()
        self.log.open()

    async def _close(self) -> None:
        async with self._writing:
            was_open = self.log.is_open
            await asyncio.to_thread(self.log.close)
        if was_open:
            log.info("audit log closed", rows=self.log.rows, head=self.log.head)


def _explain(error: BaseException, directory: Path) -> str:
    if isinstance(error, AuditLogError):
        return str(error)
    return unwritable(f"the audit log in {directory}", error)
