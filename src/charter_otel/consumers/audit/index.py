"""An index of the events that have a row, beside the audit log, and rebuilt from it if needed."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import structlog

from charter_otel.consumers.audit.segments import first_row, lines_of, segments

log = structlog.get_logger(__name__)

_SETUP = (
    "PRAGMA journal_mode=WAL",
    # Rows that a crash takes out of the index are read again from the log.
    "PRAGMA synchronous=NORMAL",
    "CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS upto (row INTEGER NOT NULL)",
)
_BATCH = 10_000


class _IndexedRow(msgspec.Struct):
    id: str


class _Line(msgspec.Struct):
    row: int
    event: _IndexedRow


_LINE = msgspec.json.Decoder(_Line)


class Index:
    """Holds the ids of all events that have a row, however many there are.

    Args:
        directory: Where the log lies.
        rows: Number of the log's last row; entries of the index beyond it are removed.

    Raises:
        sqlite3.Error: The index can be neither opened nor created.
        OSError: The log cannot be read.
    """

    def __init__(self, directory: Path, rows: int) -> None:
        path = directory / "audit.index.sqlite3"
        try:
            self._connection = _opened(path)
        except sqlite3.DatabaseError as error:
            log.warning("audit log: index is damaged and rebuilt", error=str(error))
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._connection = _opened(path)
        try:
            self._forget_after(rows)
            self._catch_up(segments(directory))
        except BaseException:
            self.close()
            raise

    def known(self, ids: Sequence[str]) -> set[str]:
        """Return the ids that have a row."""
        found = self._connection.execute
        return {id_ for id_ in ids if found("SELECT 1 FROM rows WHERE id = ?", (id_,)).fetchone()}

    def add(self, rows: Iterable[tuple[str, int]]) -> None:
        """Remember rows that the disk has, each an event's id and a number."""
        with self._connection as connection:
            given = list(rows)
            connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", given)
            connection.execute("DELETE FROM upto")
            connection.execute("INSERT INTO upto VALUES (?)", (max(row for _, row in given),))

    def close(self) -> None:
        """Close the index."""
        self._connection.close()

    def _forget_after(self, rows: int) -> None:
        with self._connection as connection:
            if connection.execute("SELECT 1 FROM upto WHERE row > ?", (rows,)).fetchone():
                connection.execute("DELETE FROM rows WHERE row > ?", (rows,))
                connection.execute("UPDATE upto SET row = ?", (rows,))

    def _catch_up(self, files: list[Path]) -> None:
        """Add the rows that are not in the index yet."""
        [(upto,)] = self._connection.execute("SELECT coalesce(max(row), 0) FROM upto")
        begins = [first_row(path) or 0 for path in files[1:]]
        behind = sum(begin <= upto + 1 for begin in begins)
        rows: list[tuple[str, int]] = []
        for path in files[behind:]:
            for line in lines_of(path):
                try:
                    row = _LINE.decode(line)
                except (msgspec.DecodeError, UnicodeError):
                    continue
                if row.row > upto:
                    rows.append((row.event.id, row.row))
                if len(rows) >= _BATCH:
                    self.add(rows)
                    rows.clear()
        if rows:
            self.add(rows)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=1, check_same_thread=False)
    try:
        path.chmod(0o600)
        for statement in _SETUP:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection
