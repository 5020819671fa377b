"""What a robot is called, and whether it is a real one."""

import re

from charter_otel.charter.payloads import ROBOT_ID_PATTERN

ROBOT_ID_RULE = "1 to 64 of A-Z a-z 0-9 . _ : -, the first a letter or a digit"
"""The same for people, in error texts."""

SIMULATED = "sim"
"""What the last part of a connection id begins with where the robot said that it is simulated."""

SIMULATED_PATTERN = f".*_{SIMULATED}[0-9a-f]+"
"""The same as a regular expression, for rules."""

_matches = re.compile(ROBOT_ID_PATTERN).match


def is_robot_id(text: str) -> bool:
    """Return whether the text is a robot id."""
    return _matches(text) is not None


def is_simulated(connection_id: str) -> bool:
    """Return whether the connection is a simulated robot's: it counts, and pages nobody.

    The id is the one thing that every place of an event knows: lines, records, metrics, consumers.
    """
    return connection_id.rpartition("_")[2].startswith(SIMULATED)
