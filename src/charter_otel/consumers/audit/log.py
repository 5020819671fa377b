"""The audit log: rows are appended, fsynced, and never touched again.

The log is a directory of files ``audit-<number of the first row>.jsonl``. A row is there for good
when `AuditLog.append` or `AuditLog.extend` returns. A row that a crash left half-written was never
acknowledged, and is cut off at the next start.

The chain cannot simply go on if a row is damaged, rows are missing, or another process wrote the
last ones. Then the first row of a new file records it: its event's type is
``audit.log_continued``, and its payload names the break and the head that was known.
"""

import contextlib
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import structlog

from charter_otel.consumers.audit.chain import FIRST, Row, make
from charter_otel.consumers.audit.index import Index
from charter_otel.consumers.audit.segments import (
    cut_torn_end,
    end_of,
    first_row,
    fsync_directory,
    is_at,
    lines_of,
    locked,
    row_hash,
    segment,
    segments,
    write_all,
)

log = structlog.get_logger(__name__)

MAX_BYTES = 64 * 1024 * 1024
"""Size from which a new file is begun."""

CONTINUED = "audit.log_continued"
"""Type of the row that names a break; it is the log's own, not an event of a stream."""


class Head(msgspec.Struct, frozen=True):
    """The last row of a log, as recorded elsewhere."""

    rows: int
    head: str
    writer: str
    """The host and directory of its writer."""


class AuditLog:
    """Writes the audit log of one process. All methods block: call them in a thread.

    Args:
        directory: Where the files lie; created if it does not exist.
        max_bytes: Size from which a new file is begun.
        clock: Returns Unix seconds.
        anchor: Called with the number of the last row and the head whenever a file is begun.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
        anchor: Callable[[int, str], object] | None = None,
    ) -> None:
        self.directory = directory
        self.rows = 0
        """Number of the last row."""
        self.head = FIRST
        """Hash of the last row; a copy of it elsewhere reveals that rows were cut off."""
        self.expected: Head | None = None
        """The last row that this or another process left; an opened log is checked against it."""
        self._max_bytes = max_bytes
        self._clock = clock
        self._anchor = anchor
        self._file = -1
        """The file that rows are appended to; -1 while the log is closed."""
        self._path = directory
        self._lock = -1
        self._size = 0
        """Bytes of whole rows in the file; bytes beyond them are cut off."""
        self._index: Index | None = None

    @property
    def is_open(self) -> bool:
        """Whether this process has the log open."""
        return self._file >= 0

    @property
    def last(self) -> Head:
        """The last row, to be kept elsewhere."""
        return Head(self.rows, self.head, f"{socket.gethostname()}:{self.directory}")

    def open(self) -> None:
        """Open the log, and continue it at its end.

        Raises:
            AuditLogError: Another process writes it.
            OSError: The disk does not allow it.
            sqlite3.Error: Likewise, for the index.
        """
        if self.is_open:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = locked(self.directory / "audit.lock")
        try:
            self._take_up(segments(self.directory))
        except BaseException:
            self.close()
            raise

    def append(self, event_id: str, event: bytes) -> bool:
        """Write an event and wait until the disk has it; see `extend`.

        Returns:
            False if the event had a row already, because it was delivered before.
        """
        return self.extend([(event_id, event)]) == 1

    def extend(self, events: Iterable[tuple[str, bytes]]) -> int:
        """Write events, each an id and its JSON, and wait once until the disk has all of them.

        Returns:
            How many rows are new; the other events had one, because they were delivered before.

        Raises:
            OSError: The disk does not take them; no part of these rows is left, and the caller may
                try again.
            AuditLogError, sqlite3.Error: See `open`.
        """
        self.check()
        self.open()
        given = dict(events)
        known = self._index.known([*given]) if self._index else set()
        new = {event_id: event for event_id, event in given.items() if event_id not in known}
        if new:
            if self._size >= self._max_bytes:
                self._begin(self.rows + 1)
            self._append(list(self._rows(new.values())), [*new])
        return len(new)

    def check(self) -> None:
        """Close the log if its file has disappeared, so that it is opened anew."""
        if self.is_open and not is_at(self._file, self._path):
            log.error(
                "audit log: the file was removed while open; the log goes on in a new one that says"
                " so",
                file=self._path.name,
                rows=self.rows,
                head=self.head,
            )
            self.close()

    def close(self) -> None:
        """Close the files; `append` opens them again."""
        if self.is_open:
            self.expected = self.last
        for number in (self._file, self._lock):
            if number >= 0:
                os.close(number)
        self._file = self._lock = -1
        index, self._index = self._index, None
        if index is not None:
            with contextlib.suppress(sqlite3.Error):
                index.close()

    def _take_up(self, files: list[Path]) -> None:
        if files:
            cut_torn_end(files[-1])
        end = end_of(files)
        self.rows, self.head = end.rows, end.head
        self._index = Index(self.directory, end.rows)
        if files and not end.damage:
            self._continue(files[-1])
        else:
            self._begin(self.rows + 1)
        if reason := self._break(end.damage):
            self._name_break(reason)
        self.expected = None

    def _continue(self, path: Path) -> None:
        self._file, self._path = os.open(path, os.O_WRONLY | os.O_APPEND), path
        # Whole rows in the file may not be on the disk yet, and count as rows from now on.
        os.fsync(self._file)
        self._size = os.fstat(self._file).st_size

    def _break(self, damage: str) -> str:
        """Return why the chain cannot simply go on, or an empty text."""
        if damage:
            return f"a row is damaged: {damage}"
        if self.expected is None or self.expected.head == self.head:
            return ""
        if self.expected.writer != self.last.writer:
            return "another process wrote the last rows"
        return "" if self._holds(self.expected) else "rows are missing"

    def _holds(self, known: Head) -> bool:
        """Return whether a row recorded elsewhere is in the log; later ones may follow it."""
        begun = [path for path in segments(self.directory) if (first_row(path) or 1) <= known.rows]
        return any(row_hash(line) == known.head for path in begun[-1:] for line in lines_of(path))

    def _name_break(self, reason: str) -> None:
        log.warning("audit log: the chain is interrupted", reason=reason, rows=self.rows)
        known = self.expected or self.last
        number, now = self.rows + 1, self._clock()
        event_id = f"{CONTINUED}:{number}:{self.head[:16]}"
        event = {
            "id": event_id,
            "type": CONTINUED,
            "timestamp": now,
            "payload": {"reason": reason, "last_known": msgspec.to_builtins(known)},
        }
        if self._size:
            self._begin(number)
        row = make(number, now, msgspec.json.encode(event), self.head)
        self._append([row], [event_id])

    def _rows(self, events: Iterable[bytes]) -> Iterator[Row]:
        number, head = self.rows, self.head
        for event in events:
            number += 1
            row = make(number, self._clock(), event, head)
            head = row.hash
            yield row

    def _begin(self, row: int) -> None:
        path = segment(self.directory, row)
        created = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._path = created, path
        self._size = os.fstat(created).st_size
        fsync_directory(self.directory)
        if self._anchor is not None:
            self._anchor(self.rows, self.head)

    def _append(self, rows: list[Row], ids: list[str]) -> None:
        self._write(b"".join([row.line() for row in rows]))
        self.rows, self.head = rows[-1].row, rows[-1].hash
        numbers = [row.row for row in rows]
        try:
            if self._index is not None:
                self._index.add(zip(ids, numbers, strict=True))
        except sqlite3.Error as error:
            # The rows are there; the index reads them when the log is opened again.
            log.warning("audit log: index could not be written", error=str(error))
            self.close()

    def _write(self, lines: bytes) -> None:
        try:
            write_all(self._file, lines)
            os.fsync(self._file)
        except BaseException:
            # A partial row must not stand before the next one. If even this fails, opening the log
            # again cuts it off.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            self.close()
            self.expected = None
            raise
        self._size += len(lines)
