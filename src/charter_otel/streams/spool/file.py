"""One spool file: a queue of events in SQLite, locked by the process that has it open."""

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from charter_otel.streams.pending import PendingEvent

# AUTOINCREMENT: a number is never used again, so forgotten rows cannot hide new ones.
_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    minute INTEGER NOT NULL,
    data BLOB NOT NULL,
    traceparent TEXT,
    checksum INTEGER NOT NULL
)"""
_SETUP = (
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA auto_vacuum=INCREMENTAL",
    "PRAGMA journal_mode=WAL",
    "BEGIN IMMEDIATE",
    _TABLE,
    "COMMIT",
)
_INSERT = "INSERT INTO events (id, minute, data, traceparent, checksum) VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT number, id, minute, data, traceparent, checksum FROM events WHERE number > ?"
_SALVAGED_AT_ONCE = 100
_OLDEST = "SELECT number, length(data) FROM events WHERE number > ? ORDER BY number"
_CONTENT = "SELECT count(*), coalesce(sum(length(data)), 0), coalesce(max(number), 0) FROM events"


class Appended(NamedTuple):
    """The outcome of adding events."""

    last_taken: int
    """Number of the last event that the publisher has in hand, or 0."""
    evicted: int
    """Oldest events that were dropped."""


class SpoolPage(NamedTuple):
    """The oldest events of a file."""

    events: list[PendingEvent]
    last: int
    """Number of the last row examined."""
    damaged: int
    """Rows that do not hold what was written."""


class SpoolFile:
    """A file of events, oldest first. Each call is one transaction; only one thread may call.

    A commit of `append` is on the disk when it returns; a killed process or machine loses nothing
    of it. A crash may undo `forget`: the events come again, and the stream recognises them.

    Args:
        path: The file; made if it does not exist.
        limit: Maximum bytes of events that it holds; beyond it the oldest are dropped.

    Raises:
        sqlite3.OperationalError: Another process has it open, or it cannot be written.
        sqlite3.DatabaseError: It is damaged.
    """

    def __init__(self, path: Path, *, limit: int) -> None:
        self.path = path
        self._limit = limit
        self._connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            for statement in _SETUP:
                self._connection.execute(statement).fetchall()
            self.count, self._bytes, last = self._connection.execute(_CONTENT).fetchone()
        except BaseException:
            self._connection.close()
            raise
        self._gone = 0 if self.count else last
        """Number of the last row that is forgotten; it and those before no longer count."""
        self._in_hand = self._gone
        """Number of the last row that the publisher has in hand, or has had."""

    @property
    def in_hand(self) -> int:
        """Number of the last event that the publisher has in hand, or has had."""
        return max(self._gone, self._in_hand)

    def append(self, events: Sequence[PendingEvent], taken: int = 0) -> Appended:
        """Add events; the first ``taken`` are in the publisher's hand, and safe from eviction."""
        with self._transaction("FULL"):
            last = last_taken = self._in_hand
            for index, event in enumerate(events):
                row = (*event[:4], zlib.crc32(event.data))
                last = self._connection.execute(_INSERT, row).lastrowid or last
                if index < taken:
                    last_taken = last
            evicted, freed = self._evict(last_taken, sum(len(event.data) for event in events))
        self._in_hand = last_taken
        self.count += len(events) - evicted
        self._bytes += sum(len(event.data) for event in events) - freed
        return Appended(last_taken if taken else 0, evicted)

    def read(self, limit: int, limit_bytes: int) -> SpoolPage:
        """Return the oldest events; they are safe from eviction until the next call."""
        page = SpoolPage([], self._gone, 0)
        size = 0
        rows = self._connection.execute(f"{_SELECT} ORDER BY number LIMIT ?", (self._gone, limit))
        for number, *fields, checksum in rows:
            size += len(fields[2] or b"")
            if size > limit_bytes and page.events:
                break
            page = self._turn(page, number, fields, checksum)
        rows.close()
        self._in_hand = page.last
        return page

    def forget(self, last: int) -> None:
        """Remove all events up to a number: the stream has them."""
        self._gone = max(self._gone, last)
        with self._transaction("NORMAL"):
            freed = self._connection.execute(
                "DELETE FROM events WHERE number <= ? RETURNING length(data)", (self._gone,)
            ).fetchall()
        self.count -= len(freed)
        self._bytes -= sum(size for (size,) in freed)
        if freed and not self.count:
            self._shrink()

    def close(self) -> None:
        """Close the file and give up its lock."""
        self._connection.close()

    def _turn(self, page: SpoolPage, number: int, fields: list[Any], checksum: int) -> SpoolPage:
        event = whole(fields, checksum)
        if event is None:
            return page._replace(last=number, damaged=page.damaged + 1)
        page.events.append(event)
        return page._replace(last=number)

    def _evict(self, after: int, added: int) -> tuple[int, int]:
        """Remove the oldest events beyond the limit, and return their number and size."""
        excess = self._bytes + added - self._limit
        if excess <= 0:
            return 0, 0
        count = freed = upto = 0
        for number, size in self._connection.execute(_OLDEST, (max(after, self._gone),)):
            if freed >= excess:
                break
            count, freed, upto = count + 1, freed + size, number
        removed = "DELETE FROM events WHERE number > ? AND number <= ?"
        self._connection.execute(removed, (max(after, self._gone), upto))
        return count, freed

    def _shrink(self) -> None:
        """Return unused space to the disk."""
        # A script runs to its end; execute() stops after the first page that it frees.
        self._connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[None]:
        self._connection.execute(f"PRAGMA synchronous={synchronous}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def whole(fields: Sequence[Any], checksum: int) -> PendingEvent | None:
    """Return the event of a row, or None if it is not what was written."""
    event = PendingEvent(*fields)
    intact = (
        isinstance(event.data, bytes)
        and zlib.crc32(event.data) == checksum
        and isinstance(event.id, str)
        and isinstance(event.minute, int)
        and isinstance(event.traceparent, str | None)
    )
    return event if intact else None


def salvage(path: Path, after: int) -> list[PendingEvent]:
    """Return what can still be read of a damaged file.

    Args:
        path: The file.
        after: Number of the last event that is not needed.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        try:
            [(last,)] = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        except (sqlite3.Error, ValueError):
            return []
        events: list[PendingEvent] = []
        number = after
        while number < last:
            rows = _rows_after(connection, number)
            if rows is None:
                number += 1
                continue
            if not rows:
                break
            found = (whole(fields, checksum) for _, *fields, checksum in rows)
            events += [event for event in found if event is not None]
            number = rows[-1][0]
        return events
    finally:
        connection.close()


def _rows_after(connection: sqlite3.Connection, number: int) -> list[Any] | None:
    """Return some rows after a number, or the next one; None if that one cannot be read."""
    for limit in (_SALVAGED_AT_ONCE, 1):
        try:
            return connection.execute(
                f"{_SELECT} ORDER BY number LIMIT ?", (number, limit)
            ).fetchall()
        except sqlite3.DatabaseError:
            continue
    try:
        one = f"{_SELECT} AND number = ?"
        return connection.execute(one, (number, number + 1)).fetchall() or None
    except sqlite3.DatabaseError:
        return None
