"""Protobuf's wire format, for the fields that records and spans have.

https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct, error
from typing import Any

from opentelemetry.attributes import BoundedAttributes

Parts = list[bytes]
"""Pieces of one message, in the order of its fields."""


class UnusualError(Exception):
    """A value that the SDK's own encoder has to write, or to refuse."""


UNUSUAL = (
    UnusualError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    error,
)
"""Errors that the writers raise for a value that they leave to the SDK's own encoder."""

_MORE = 0x80
"""The bit that says that the next byte belongs to the number, too."""

SMALL = tuple(bytes([number]) for number in range(_MORE))
"""Numbers of one byte."""

STRINGS = tuple(bytes([0x12, size + 2, 0x0A, size]) for size in range(_MORE - 4))
"""Length of a string -> what precedes it in a ``KeyValue``: headers of value and string."""

KEYS = 4_096
"""Most keys whose bytes are kept."""

_DOUBLE = Struct("<BBBd")
_64_BITS = (1 << 64) - 1
_LARGEST_INTEGER = (1 << 63) - 1
_LARGEST_COUNT = (1 << 32) - 1

fixed32 = Struct("<BI").pack
"""Tag and number of 32 bits."""

fixed64 = Struct("<BQ").pack
"""Tag and number of 64 bits."""


def varint(number: int) -> bytes:
    """Return a number of at least 0 in base 128."""
    if number < _MORE:
        return SMALL[number]
    written = bytearray()
    while number >= _MORE:
        written.append(number & 0x7F | _MORE)
        number >>= 7
    written.append(number)
    return bytes(written)


def delimited(tag: bytes, content: bytes) -> bytes:
    """Return a field of strings, bytes or messages."""
    return tag + varint(len(content)) + content


def count(tag: bytes, number: int) -> bytes:
    """Return a field of dropped items.

    Raises:
        UnusualError: The number does not fit.
    """
    if not 0 < number <= _LARGEST_COUNT:
        raise UnusualError
    return tag + varint(number)


def items(attributes: Any) -> tuple[Mapping[str, Any], int]:
    """Return attributes as the SDK keeps them, and how many it dropped.

    Raises:
        UnusualError: They are not the SDK's.
    """
    kind = type(attributes)
    if kind is BoundedAttributes:
        # Reading them by its methods takes as long as writing them.
        return attributes._dict, attributes.dropped  # noqa: SLF001
    if attributes is None or kind is dict:
        return attributes or {}, 0
    raise UnusualError


@lru_cache(maxsize=KEYS)
def _key(key: str) -> bytes:
    return delimited(b"\x0a", key.encode())


def write(parts: Parts, tag: bytes, attributes: Mapping[str, Any]) -> None:
    """Append attributes, each as a ``KeyValue``.

    Raises:
        UnusualError: A value is not a plain one.
    """
    for name, value in attributes.items():
        key = _key(name)
        if type(value) is str:
            text = value.encode()
            length = len(text)
            total = len(key) + 4 + length
            if total < _MORE:
                parts += (tag, SMALL[total], key, STRINGS[length], text)
                continue
            content = delimited(b"\x12", delimited(b"\x0a", text))
        else:
            content = _number(value)
        parts += (tag, varint(len(key) + len(content)), key, content)


def _number(value: Any) -> bytes:
    """Return the ``AnyValue`` of a number or a truth value, with its header in a ``KeyValue``."""
    kind = type(value)
    if kind is int:
        if not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
            raise UnusualError
        digits = varint(value & _64_BITS)
        return b"\x12" + SMALL[len(digits) + 1] + b"\x18" + digits
    if kind is float:
        return _DOUBLE.pack(0x12, 9, 0x21, value)
    if kind is bool:
        return b"\x12\x02\x10\x01" if value else b"\x12\x02\x10\x00"
    raise UnusualError
