"""The audit log's files: their names, their ends, and the lock of their writer."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from charter_otel.consumers.audit.chain import FIRST, InvalidRow, Row, read

log = structlog.get_logger(__name__)


class AuditLogError(RuntimeError):
    """The audit log cannot be written; the text says why and what to do."""


class End(NamedTuple):
    """The end of a log."""

    rows: int = 0
    """Number of the last row, including rows that cannot be read."""
    head: str = FIRST
    """Hash of the last row that can be read."""
    damage: str = ""
    """The damage to the log's last file, or an empty text."""


def segments(directory: Path) -> list[Path]:
    """Return the log's files, oldest first."""
    return sorted(directory.glob("audit-*.jsonl"))


def segment(directory: Path, row: int) -> Path:
    """Return the file that begins with a row."""
    return directory / f"audit-{row:012d}.jsonl"


def first_row(path: Path) -> int | None:
    """Return the number of a file's first row by its name, or None if the name has none."""
    number = path.stem.removeprefix("audit-")
    return int(number) if number.isascii() and number.isdigit() else None


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield a file's lines with their ends."""
    with path.open("rb") as lines:
        yield from lines


def row_hash(line: bytes) -> str | None:
    """Return the hash of the row that a line holds, or None if it holds none."""
    try:
        return read(line).hash
    except InvalidRow:
        return None


def end_of(files: list[Path]) -> End:
    """Return the end of a log. Only the end matters here; `verify` checks the rest."""
    for path in reversed(files):
        last, damage, unread = _last_row(path)
        if last is not None:
            return End(last.row + unread, last.hash, damage)
        if damage:
            before = end_of(files[: files.index(path)])
            return End(max(before.rows, (first_row(path) or 1) - 1) + unread, before.head, damage)
    return End()


def cut_torn_end(path: Path) -> None:
    """Cut off a row that a crash left half-written: all bytes after the last line end."""
    with path.open("rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            log.warning(
                "audit log: half-written row cut off", file=path.name, bytes=len(data) - whole
            )
            file.truncate(whole)
            os.fsync(file.fileno())


def write_all(file: int, data: bytes) -> None:
    """Write all bytes, even if the system takes only a few at once."""
    while data:
        data = data[os.write(file, data) :]


def is_at(file: int, path: Path) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def locked(path: Path) -> int:
    """Open and lock a file, so that one process alone writes the log beside it.

    Raises:
        AuditLogError: Another process has locked it.
    """
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


def fsync_directory(path: Path) -> None:
    """Wait until the disk has the names of a directory's files."""
    if sys.platform == "win32":
        return
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _last_row(path: Path) -> tuple[Row | None, str, int]:
    """Return a file's last readable row, the first damage, and unreadable lines after the row."""
    last, damage, unread = None, "", 0
    for number, line in enumerate(lines_of(path), 1):
        try:
            last, unread = read(line), 0
        except InvalidRow as error:
            unread += 1
            damage = damage or f"{path.name}:{number}: {error}"
    return last, damage, unread
