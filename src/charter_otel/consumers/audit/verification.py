"""Checking the audit log: every row, and that each follows the one before it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from charter_otel.consumers.audit.chain import FIRST, InvalidRow, Row, read
from charter_otel.consumers.audit.log import first_row, segments


class Break(NamedTuple):
    """Where the chain is broken first."""

    path: Path
    line: int
    """Line of the file, from 1."""
    row: int
    """Number that the row has, or should have where it cannot be read."""
    reason: str


class Verification(NamedTuple):
    """What a check found."""

    rows: int
    """Rows that are in order."""
    first: int
    """Number of the first row; more than 1 where older files were taken away."""
    head: str
    """Hash of the last row that is in order. The chain cannot know of rows that were cut off after
    it; compare with the head that was noted elsewhere, e.g. in the service's log lines."""
    broken: Break | None
    """The first broken row, or None."""


def verify(path: Path) -> Verification:
    """Check an audit log.

    Args:
        path: The log's directory, or one file of it, whose first row is then taken as it is.

    Raises:
        FileNotFoundError: There is no audit log.
    """
    files = segments(path) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: there is no audit log")
    found = Verification(0, 0, FIRST, None)
    begins = first_row(files[0])
    last: Row | None = None
    for file, line, data in _lines(files):
        expected = last.row + 1 if last else begins or 1
        try:
            row = _next(data, last) if last else _first(data, begins)
        except InvalidRow as error:
            broken = Break(file, line, _number(data, expected), str(error))
            return found._replace(broken=broken)
        found = Verification(found.rows + 1, found.first or row.row, row.hash, None)
        last = row
    return found


def _lines(files: list[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for path in files:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield path, number, line


def _first(line: bytes, begins: int | None) -> Row:
    row = _whole(line)
    if begins not in (None, row.row):
        raise InvalidRow(
            f"its file's name says that row {begins} comes first; rows are missing or were moved"
        )
    if row.row == 1 and row.previous != FIRST:
        raise InvalidRow("it is row 1 and names a row before it")
    return row


def _next(line: bytes, last: Row) -> Row:
    row = _whole(line)
    if row.row != last.row + 1:
        raise InvalidRow(f"it follows row {last.row}; rows between them are missing or were moved")
    if row.previous != last.hash:
        raise InvalidRow(f"it does not follow the row {last.row} that is there")
    return row


def _whole(line: bytes) -> Row:
    if not line.endswith(b"\n"):
        raise InvalidRow("it is only half-written; the next start of the service cuts it off")
    return read(line)


def _number(line: bytes, expected: int) -> int:
    try:
        return read(line).row
    except InvalidRow:
        return expected
