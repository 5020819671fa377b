"""The facts in the names of events: module and time in an id, the module in a type."""

import re

_NAME = "[a-z][a-z0-9_]{0,63}"
_EVENT_TYPE = re.compile(rf"{_NAME}\.{_NAME}")

EVENT_ID_PATTERN = "^evt_[a-z][a-z0-9_]{0,63}_[0-9]{13}_[0-9a-z]{6,}$"
"""An event id as a regular expression, for documents; `milliseconds` reads one."""

RESERVED = ("metrics", "telemetry")
"""The modules of Charter v1.0, whose event types are a closed list."""

MINUTE = 60_000
"""Milliseconds of a minute."""

_ID = re.compile(rf"evt_({_NAME})_([0-9]{{13}})_[0-9a-z]{{6,}}")


def milliseconds(event_id: str) -> int:
    """Return the Unix time of an event id, in milliseconds.

    Raises:
        ValueError: It is not an event id.
    """
    found = _ID.fullmatch(event_id)
    if found is None:
        raise ValueError(
            f"{event_id[:80]!r} is not an event id: evt_metrics_<13 digits>_<6 or more of 0-9a-z>"
        )
    return int(found[2])


def is_id_of(event_id: str, event_type: str) -> bool:
    """Return whether the id is one of an event of this type's module."""
    found = _ID.fullmatch(event_id)
    return found is not None and found[1] == event_type.partition(".")[0]


def is_event_type(text: str) -> bool:
    """Return whether the text is ``<module>.<event>``."""
    return _EVENT_TYPE.fullmatch(text) is not None


def is_reserved(text: str) -> bool:
    """Return whether an event type, or a pattern of them, is in one of the Charter's modules."""
    return text.partition(".")[0] in RESERVED
