"""Values of a log line beyond JSON's own types, in a form that every renderer takes."""

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from charter_otel.charter import Event

_STEERING = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)
"""In UTF-8: DEL and C1, which steer terminals, line ends beyond ASCII, and characters that reverse
the writing direction. JSON leaves them as they are."""


class Envelope(dict[str, Any]):
    """A Charter event as the ``charter`` field of a line, for any renderer.

    Our own renderer reuses the JSON that the event stream gets, instead of encoding it again.
    """

    def __init__(self, event: Event, encoded: bytes) -> None:
        super().__init__({name: getattr(event, name) for name in event.__struct_fields__})
        self.encoded = encoded


def timestamp(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC, with microseconds."""
    whole, microseconds = divmod(round(seconds * 1e6), 1_000_000)
    return f"{_second(whole)}.{microseconds:06d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def one_line(encoded: bytes) -> bytes:
    """Escape characters that JSON leaves as they are, but some readers or terminals interpret."""
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _STEERING.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), encoded)


def plain_json(text: str) -> str:
    """Return foreign JSON text as one line that cannot steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).replace(
        "\x7f", "\\u007f"
    )


def printable(value: Any) -> str:
    """Escape characters that would steer the terminal or begin a new line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in as_text(value))


def as_text(value: Any) -> str:
    """Return any value as text that can be encoded."""
    text = value if isinstance(value, str) else safe_repr(value)
    return text.encode("utf-8", "backslashreplace").decode()


def safe_repr(value: Any) -> str:
    """Return a value's ``repr``, or a text that says that it has none."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a value's own code may raise anything
        return f"<{type(value).__qualname__}, whose repr() raises>"
