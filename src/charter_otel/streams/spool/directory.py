"""The directory of spool files: one for each instance, and those that dead instances left."""

import errno
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from charter_otel.streams.spool.file import SpoolFile

log = structlog.get_logger(__name__)

MAX_FILES = 1000
"""Instances that share a directory at most."""

_PAGE = 1000
_PAGE_BYTES = 4_194_304


class SpoolDirectory:
    """Finds a file that nobody has open, and brings together what others left.

    Files are never removed, only emptied: one that is removed may be open somewhere by then.

    Args:
        path: The directory; made where there is none, for its owner only.
        name: What the names of the files begin with; one for each stream.
        limit: Bytes of events that a file holds at most.
    """

    def __init__(self, path: Path, name: str, *, limit: int) -> None:
        self.path = path
        self._name = name
        self._limit = limit

    def open(self) -> SpoolFile:
        """Open the first file that nobody has open.

        Raises:
            OSError: The directory cannot be made or written.
            sqlite3.Error: No file can be opened.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._paths():
            file = self._try(path)
            if file is not None:
                return file
        raise OSError(errno.EBUSY, f"{MAX_FILES} instances have a spool open", str(self.path))

    def adopt(self, own: SpoolFile) -> tuple[int, int]:
        """Move the events of dead instances to the own file.

        Returns:
            How many were moved, and how many of the oldest had to go for them.
        """
        moved = evicted = 0
        for path in self._paths():
            if not path.exists():
                break
            if path == own.path or (file := self._try(path)) is None:
                continue
            try:
                while (page := file.read(_PAGE, _PAGE_BYTES)).last and (
                    page.events or page.damaged
                ):
                    evicted += own.append(page.events).evicted
                    moved += len(page.events)
                    file.forget(page.last)
            finally:
                file.close()
        return moved, evicted

    def _paths(self) -> Iterator[Path]:
        return (self.path / f"{self._name}-{number}.sqlite3" for number in range(MAX_FILES))

    def _try(self, path: Path) -> SpoolFile | None:
        """Open a file; a damaged one is put aside, one in use is left alone."""
        try:
            return SpoolFile(path, limit=self._limit)
        except sqlite3.DatabaseError as error:
            if is_locked(error):
                return None
            if not is_damaged(error):
                raise
            put_aside(path)
            return SpoolFile(path, limit=self._limit)


def put_aside(path: Path) -> None:
    """Rename a damaged file, so that it can be looked into and is in nobody's way."""
    kept = path.with_name(f"{path.name}.damaged-{time.time_ns() // 1_000_000}")
    path.rename(kept)
    for suffix in ("-wal", "-shm", "-journal"):
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.rename(kept.with_name(kept.name + suffix))
    log.error("spool is damaged and put aside; what it held is lost", path=str(kept))


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether another process has the file open."""
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_damaged(error: BaseException) -> bool:
    """Return whether a file is not what was written."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _code(error: BaseException) -> int:
    # The lowest byte is the primary code: https://www.sqlite.org/rescode.html
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
