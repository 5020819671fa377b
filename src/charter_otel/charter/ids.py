"""What an event's id tells a stream: the time at which the event was made."""

import re

_ID = re.compile(r"evt_(?:metrics|telemetry)_([0-9]{13})_[0-9a-z]{6,}")


MINUTE = 60_000
"""Milliseconds of a minute."""


def milliseconds(event_id: str) -> int:
    """Return the Unix time of an event id, in milliseconds.

    Raises:
        ValueError: It is no event id.
    """
    found = _ID.fullmatch(event_id)
    if found is None:
        raise ValueError(
            f"{event_id[:80]!r} is no event id: evt_metrics_<13 digits>_<6 or more of 0-9a-z>"
        )
    return int(found[1])
