"""What a robot is called."""

import re

from charter_otel.charter.payloads import ROBOT_ID_PATTERN

ROBOT_ID_RULE = "1 to 64 of A-Z a-z 0-9 . _ : -, the first a letter or a digit"
"""The same for people, in error texts."""

_matches = re.compile(ROBOT_ID_PATTERN).match


def is_robot_id(text: str) -> bool:
    """Return whether the text is a robot id."""
    return _matches(text) is not None
