"""What a line of the log may hold beside JSON's own values, in a form that every renderer takes."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from charter_otel.charter import Event

_LINE_ENDS = (
    ("\u0085".encode(), rb"\u0085"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)
"""Line ends beyond ASCII (Unicode Annex 14), and how JSON escapes them."""


class Envelope(dict[str, Any]):
    """A Charter event as the ``charter`` field of a line, for any renderer.

    Ours takes the JSON that the event stream gets too, instead of making it again.
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
    """Escape what JSON leaves as it is and some readers take for the end of a line."""
    if encoded.isascii():
        return encoded
    for character, escape in _LINE_ENDS:
        encoded = encoded.replace(character, escape)
    return encoded


def as_text(value: Any) -> str:
    """Return any value as text that can be encoded."""
    text = value if isinstance(value, str) else safe_repr(value)
    return text.encode("utf-8", "backslashreplace").decode()


def safe_repr(value: Any) -> str:
    """Return a value's ``repr``, or say that it has none."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a value's own code may raise anything
        return f"<{type(value).__qualname__}, whose repr() raises>"
