"""The check of the audit log: every row, and its link to the row before it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from charter_otel.consumers.audit.chain import FIRST, InvalidRow, Row, read
from charter_otel.consumers.audit.log import CONTINUED
from charter_otel.consumers.audit.segments import first_row, lines_of, segments

MOST = 100
"""Most breaks, doubles and continuations that are named."""


class Break(NamedTuple):
    """A place where the chain is broken."""

    path: Path
    line: int
    """Line of the file, from 1."""
    row: int
    """Number of the row, or the expected number if it cannot be read."""
    reason: str


class Verification(NamedTuple):
    """The findings of a check."""

    rows: int
    """Rows that are in order, up to the first break."""
    first: int
    """Number of the first row; more than 1 if older files were taken away."""
    head: str
    """Hash of the last row that is in order. The chain cannot know of rows that were cut off after
    it; compare with the head that was recorded elsewhere, e.g. in the service's log lines."""
    broken: Break | None
    """The first broken row, or None."""
    breaks: tuple[Break, ...] = ()
    """All places where the chain is broken or rows are missing, up to `MOST`."""
    doubles: tuple[tuple[str, int], ...] = ()
    """Events that have a row already, each with the row that repeats it, up to `MOST`."""
    continued: tuple[tuple[int, str], ...] = ()
    """Rows in which the log itself names a break, and its reason, up to `MOST`."""


def verify(path: Path) -> Verification:
    """Check an audit log to its end.

    Args:
        path: The log's directory, or one of its files, whose first row is then taken as it is.

    Raises:
        FileNotFoundError: There is no audit log.
    """
    files = segments(path) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: there is no audit log")
    check = _Check(first_row(files[0]))
    for file, line, data in _lines(files):
        check.look(file, line, data)
    return check.found._replace(
        broken=check.breaks[0] if check.breaks else None,
        breaks=tuple(check.breaks[:MOST]),
        doubles=tuple(check.doubles[:MOST]),
        continued=tuple(check.continued[:MOST]),
    )


class _Check:
    """The state of a check, as far as the log was read.

    Args:
        begins: The number of the first row by the first file's name, or None.
    """

    def __init__(self, begins: int | None) -> None:
        self.found = Verification(0, 0, FIRST, None)
        self.breaks: list[Break] = []
        self.doubles: list[tuple[str, int]] = []
        self.continued: list[tuple[int, str]] = []
        self._begins = begins
        self._last: Row | None = None
        """The last row that could be read, in order or not."""
        self._unread = 0
        """Lines since then that could not be read."""
        self._seen: set[int] = set()
        """Hashes of the events' ids: one number each, to save memory."""

    def look(self, file: Path, line: int, data: bytes) -> None:
        """Check the next line."""
        last = self._last
        expected = (last.row + 1 if last else self._begins or 1) + self._unread
        try:
            row = _whole(data)
        except InvalidRow as error:
            self._unread += 1
            self.breaks.append(Break(file, line, expected, str(error)))
            return
        try:
            if last is None:
                _begins(row, self._begins)
            else:
                _follows(row, last, expected, chained=not self._unread)
        except InvalidRow as error:
            self.breaks.append(Break(file, line, row.row, str(error)))
        if not self.breaks:
            first = self.found.first or row.row
            self.found = Verification(self.found.rows + 1, first, row.hash, None)
        self._last, self._unread = row, 0
        self._note(row)

    def _note(self, row: Row) -> None:
        try:
            event_id = row.event_id
        except InvalidRow:
            return
        if hash(event_id) in self._seen:
            self.doubles.append((event_id, row.row))
        self._seen.add(hash(event_id))
        if event_id.startswith(f"{CONTINUED}:"):
            reason = msgspec.json.decode(row.event)["payload"]["reason"]
            self.continued.append((row.row, reason))


def _lines(files: list[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for path in files:
        for number, line in enumerate(lines_of(path), 1):
            yield path, number, line


def _begins(row: Row, begins: int | None) -> None:
    if begins not in (None, row.row):
        raise InvalidRow(
            f"its file's name says that row {begins} comes first; rows are missing or were moved"
        )
    if row.row == 1 and row.previous != FIRST:
        raise InvalidRow("it is row 1 and names a row before it")


def _follows(row: Row, last: Row, expected: int, *, chained: bool) -> None:
    if row.row != expected:
        raise InvalidRow(f"it follows row {last.row}; rows between them are missing or were moved")
    if chained and row.previous != last.hash:
        raise InvalidRow(f"it does not follow the row {last.row} that is there")


def _whole(line: bytes) -> Row:
    if not line.endswith(b"\n"):
        raise InvalidRow("it is only half-written; the next start of the service cuts it off")
    return read(line)
