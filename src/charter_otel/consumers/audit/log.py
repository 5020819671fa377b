"""The audit log's files: rows are appended, fsynced, and never touched again.

The log is a directory of files ``audit-<number of the first row>.jsonl``. A row is there for good
when `AuditLog.append` or `AuditLog.extend` returns. What a crash left half-written was never
acknowledged, and is cut off at the next start.
"""

import contextlib
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import structlog

from charter_otel.consumers.audit.chain import FIRST, InvalidRow, Row, make, read

log = structlog.get_logger(__name__)

MAX_BYTES = 64 * 1024 * 1024
"""Size from which a new file is begun."""
REMEMBERED = 10_000
"""Latest events that are recognised when they are delivered again."""


class AuditLogError(RuntimeError):
    """The audit log cannot be written; the text says why and what to do."""


class AuditLog:
    """Writes the audit log of one process. All methods block: call them in a thread.

    Args:
        directory: Where the files lie; made where it does not exist.
        max_bytes: Size from which a new file is begun.
        clock: Gives Unix seconds.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self.rows = 0
        """Number of the last row."""
        self.head = FIRST
        """Hash of the last row; who notes it elsewhere can prove that no later row was cut off."""
        self._max_bytes = max_bytes
        self._clock = clock
        self._file = -1
        self._lock = -1
        self._size = 0
        self._seen: OrderedDict[str, None] = OrderedDict()

    def open(self) -> None:
        """Take up the log where it ends.

        Raises:
            AuditLogError: Another process writes it, or its last row is broken.
        """
        if self._file >= 0:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _locked(self.directory / "audit.lock")
        try:
            self._take_up(segments(self.directory))
        except BaseException:
            self.close()
            raise

    def append(self, event_id: str, event: bytes) -> bool:
        """Write an event and wait until the disk has it; see `extend`.

        Returns:
            False where the event was a row already, because it was delivered before.
        """
        return self.extend([(event_id, event)]) == 1

    def extend(self, events: Iterable[tuple[str, bytes]]) -> int:
        """Write events, each an id and its JSON, and wait once until the disk has all of them.

        Returns:
            How many there are; the others were rows already, because they were delivered before.

        Raises:
            OSError: The disk does not take them; nothing of these rows is left, and they may be
                tried again.
            AuditLogError: See `open`.
        """
        self.open()
        new = {event_id: event for event_id, event in events if event_id not in self._seen}
        if not new:
            return 0
        if self._size >= self._max_bytes:
            self._begin(self.rows + 1)
        rows = list(self._rows(new.values()))
        self._write(b"".join([row.line() for row in rows]))
        for row, event_id in zip(rows, new, strict=True):
            self._note(row, event_id)
        return len(rows)

    def close(self) -> None:
        """Close the files; `append` opens them again."""
        for number in (self._file, self._lock):
            if number >= 0:
                os.close(number)
        self._file = self._lock = -1

    def _take_up(self, files: list[Path]) -> None:
        if files:
            _cut_torn_end(files[-1])
        for path in files[-2:]:
            self._replay(path)
        if files:
            self._file = os.open(files[-1], os.O_WRONLY | os.O_APPEND)
            # Whole rows that are there may not be on the disk yet, and count as rows from now on.
            os.fsync(self._file)
            self._size = os.fstat(self._file).st_size
        else:
            self._begin(1)

    def _replay(self, path: Path) -> None:
        """Read a file's rows; only the log's end matters here, `verify` checks the rest."""
        row = None
        try:
            with path.open("rb") as lines:
                for line in lines:
                    row = read(line)
                    self._note(row, row.event_id)
        except InvalidRow as error:
            after = f"row {row.row}" if row else "the beginning"
            raise AuditLogError(
                f"{path}: the row after {after} is broken: {error}. "
                "See `charter-otel audit verify`; keep the file as evidence and move the "
                f"directory {self.directory} away to begin a new log."
            ) from error

    def _rows(self, events: Iterable[bytes]) -> Iterator[Row]:
        number, head = self.rows, self.head
        for event in events:
            number += 1
            row = make(number, self._clock(), event, head)
            head = row.hash
            yield row

    def _note(self, row: Row, event_id: str) -> None:
        self.rows, self.head = row.row, row.hash
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _begin(self, row: int) -> None:
        path = self.directory / f"audit-{row:012d}.jsonl"
        created = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = created, os.fstat(created).st_size
        _fsync_directory(self.directory)
        log.info("audit log begins a file", file=path.name, rows=self.rows, head=self.head)

    def _write(self, lines: bytes) -> None:
        try:
            _write_all(self._file, lines)
            os.fsync(self._file)
        except BaseException:
            # A row of which a part is there must not be in front of the next one. Where even this
            # fails, opening the log again cuts it off.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            self.close()
            raise
        self._size += len(lines)


def segments(directory: Path) -> list[Path]:
    """Return the log's files, oldest first."""
    return sorted(directory.glob("audit-*.jsonl"))


def first_row(path: Path) -> int | None:
    """Return the number of the row that a file begins with, which its name says, if it does."""
    number = path.stem.removeprefix("audit-")
    return int(number) if number.isascii() and number.isdigit() else None


def _cut_torn_end(path: Path) -> None:
    """Cut off what follows the last line end: a row that a crash left half-written."""
    with path.open("rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            log.warning(
                "audit log: half-written row cut off", file=path.name, bytes=len(data) - whole
            )
            file.truncate(whole)
            os.fsync(file.fileno())


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _locked(path: Path) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    if sys.platform == "win32":
        return file
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise AuditLogError(
            f"another process writes the audit log in {path.parent}; "
            "give each process a CHARTER_STATE_DIR of its own"
        ) from error
    return file


def _fsync_directory(path: Path) -> None:
    if sys.platform == "win32":
        return
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
