"""A row of the audit log, and the hash chain of the rows.

A row is one line of JSON. Its hash covers its number, its time, the hash of the row before it and
the event's own bytes. So if a row is changed, removed or moved, every later hash is wrong.
"""

import hashlib
from typing import Any

import msgspec

FIRST = "0" * 64
"""The previous hash of the very first row."""


class InvalidRow(ValueError):  # noqa: N818 - the name says what the row is
    """A line is not a row as this program writes it."""


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the audit log."""

    row: int
    """Its number; the first is 1."""
    recorded_at: float
    """When it was written, in Unix seconds."""
    event: msgspec.Raw
    """The event's JSON, byte for byte."""
    previous: str
    """Hash of the row before it."""
    hash: str
    """SHA-256 of the row without this field, in hexadecimal."""

    def line(self) -> bytes:
        """Return the row as its line in the file."""
        return _ENCODER.encode(self) + b"\n"

    @property
    def event_id(self) -> str:
        """The id of the event.

        Raises:
            InvalidRow: The event has none.
        """
        try:
            return msgspec.json.decode(self.event, type=_Identified).id
        except msgspec.DecodeError as error:
            raise InvalidRow(f"its event has no id: {error}") from error


class _Identified(msgspec.Struct):
    id: str


def make(number: int, recorded_at: float, event: bytes, previous: str) -> Row:
    """Make the row that follows the one with the hash ``previous``."""
    return Row(
        row=number,
        recorded_at=recorded_at,
        event=msgspec.Raw(event),
        previous=previous,
        hash=_hash(number, recorded_at, event, previous),
    )


def read(line: bytes) -> Row:
    """Read a row, and check it as far as that is possible without the others.

    Raises:
        InvalidRow: The line is not a row, not written as rows are, or its hash is wrong.
    """
    try:
        row = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRow(f"it is not a row: {error}") from error
    if row.line() != line:
        raise InvalidRow("it is not written as rows are")
    if row.hash != _hash(row.row, row.recorded_at, bytes(row.event), row.previous):
        raise InvalidRow("its hash does not match what it says")
    return row


def _hash(number: int, recorded_at: float, event: bytes, previous: str) -> str:
    content: dict[str, Any] = {
        "row": number,
        "recorded_at": recorded_at,
        "event": msgspec.Raw(event),
        "previous": previous,
    }
    return hashlib.sha256(_ENCODER.encode(content)).hexdigest()


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Row)
