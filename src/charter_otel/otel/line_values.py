"""What a line of the log may hold beside JSON's own values, in a form that every renderer takes."""

from typing import Any

from charter_otel.charter import Event


class Envelope(dict[str, Any]):
    """A Charter event as the ``charter`` field of a line, for any renderer.

    Ours takes the JSON that the event stream gets too, instead of making it again.
    """

    def __init__(self, event: Event, encoded: bytes) -> None:
        super().__init__({name: getattr(event, name) for name in event.__struct_fields__})
        self.encoded = encoded


def as_text(value: Any) -> str:
    """Give any value as text that can be encoded."""
    text = value if isinstance(value, str) else safe_repr(value)
    return text.encode("utf-8", "backslashreplace").decode()


def safe_repr(value: Any) -> str:
    """Give a value's ``repr``, or say that it has none."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a value's own code may raise anything
        return f"<{type(value).__qualname__}, whose repr() raises>"
