"""The directory of spool files: one for each instance, and those that dead instances left."""

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import structlog

from charter_otel.streams.spool.file import SpoolFile, salvage

log = structlog.get_logger(__name__)

MAX_FILES = 1000
"""Maximum number of instances that share a directory."""

_PAGE = 1000
_PAGE_BYTES = 4_194_304

_PATIENCE = 2.0
"""Maximum seconds that a look at the files waits for another one; a look takes milliseconds."""


class Leftover(NamedTuple):
    """Events that lie in the directory for another stream."""

    name: str
    """The prefix of its files' names."""
    place: str
    """The stream in plain text, as far as it is known."""
    events: int


class SpoolDirectory:
    """Finds a file that no process has open, and collects the events that others left.

    Files are never removed, only emptied: another process may have opened one by then.

    Args:
        path: The directory; made if it does not exist, for its owner only.
        place: The stream of the events, in plain text; the files' names begin with its digest.
        limit: Maximum bytes of events that a file holds.
    """

    def __init__(self, path: Path, place: str, *, limit: int) -> None:
        self.path = path
        self._place = place
        self._name = sha256(place.encode()).hexdigest()[:12]
        self._limit = limit

    def open(self) -> SpoolFile:
        """Open the first file that no process has open.

        Raises:
            OSError: The directory cannot be made or written.
            sqlite3.Error: No file can be opened.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(OSError):
            (self.path / f"{self._name}.address").write_text(self._place, encoding="utf-8")
        with _looking(self.path, time.monotonic() + _PATIENCE):
            for path in self._paths():
                file = self._try(path)
                if file is not None:
                    return file
        raise OSError(errno.EBUSY, f"{MAX_FILES} instances have a spool open", str(self.path))

    def adopt(self, own: SpoolFile) -> tuple[int, int]:
        """Move the events of dead instances to the own file.

        Returns:
            How many were moved, and how many of the oldest were dropped for them.
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

    def others(self) -> list[Leftover]:
        """Return the events for other streams in files that no process has open."""
        return [left for left in leftovers(self.path, self._limit) if left.name != self._name]

    def renew(self, path: Path, after: int) -> tuple[SpoolFile, int]:
        """Put a damaged file aside and begin a new one with the events that can be saved.

        Args:
            path: The file; no process has it open.
            after: Number of the last event that is not needed.

        Returns:
            The new file, and how many events were saved.
        """
        kept = put_aside(path)
        file = SpoolFile(path, limit=self._limit)
        try:
            events = salvage(kept, after)
            if events:
                file.append(events)
        except (sqlite3.Error, OSError) as error:
            log.warning("nothing could be saved of the damaged spool", error=str(error))
            events = []
        log.error(
            "spool is damaged and put aside; what could not be read is lost",
            path=str(kept),
            saved=len(events),
        )
        return file, len(events)

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
            return self.renew(path, 0)[0]


def leftovers(directory: Path, limit: int) -> list[Leftover]:
    """Return the events in files that no process has open, for each stream with events."""
    found: dict[str, int] = {}
    deadline = time.monotonic() + _PATIENCE
    for path in sorted(directory.glob("*-*.sqlite3")):
        name = path.name.rpartition("-")[0]
        with suppress(sqlite3.Error, OSError), _looking(directory, deadline):
            file = SpoolFile(path, limit=limit)
            found[name] = found.get(name, 0) + file.count
            file.close()
    return [
        Leftover(name, _place(directory, name), count) for name, count in found.items() if count
    ]


@contextmanager
def _looking(directory: Path, deadline: float) -> Iterator[None]:
    """Look at the files alone: one that is only counted must not seem to be in use.

    Go on without the lock after the deadline, and at once where the file system has no such locks:
    a process that is stopped as it looks must not keep others from starting.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        while not _locked(descriptor) and time.monotonic() < deadline:
            time.sleep(0.001)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno != errno.EWOULDBLOCK
    return True


def _place(directory: Path, name: str) -> str:
    try:
        return (directory / f"{name}.address").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return f"unknown ({name})"


def put_aside(path: Path) -> Path:
    """Rename a damaged file, so that it can be inspected and is out of the way."""
    kept = path.with_name(f"{path.name}.damaged-{time.time_ns() // 1_000_000}")
    path.rename(kept)
    for suffix in ("-wal", "-shm", "-journal"):
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.rename(kept.with_name(kept.name + suffix))
    return kept


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether another process has the file open."""
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_damaged(error: BaseException) -> bool:
    """Return whether the file does not hold what was written."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _code(error: BaseException) -> int:
    # The lowest byte is the primary code: https://www.sqlite.org/rescode.html
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
