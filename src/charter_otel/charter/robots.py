"""Robot ids, and whether a robot is real or simulated."""

import re

from charter_otel.charter.payloads import ROBOT_ID_PATTERN

ROBOT_ID_RULE = "1 to 64 of A-Z a-z 0-9 . _ : -, the first a letter or a digit"
"""The same for people, in error texts."""

SIMULATED = "sim"
"""Prefix of the last part of a connection id, if the robot said that it is simulated."""

SIMULATED_PATTERN = f".*_{SIMULATED}[0-9a-f]+"
"""The same as a regular expression, for rules."""

_matches = re.compile(ROBOT_ID_PATTERN).match


def is_robot_id(text: str) -> bool:
    """Return whether the text is a robot id."""
    return _matches(text) is not None


def is_simulated(connection_id: str) -> bool:
    """Return whether the connection is a simulated robot's: it is counted, but raises no alert.

    Only the id is known everywhere an event goes: in lines, records, metrics and consumers.
    """
    return connection_id.rpartition("_")[2].startswith(SIMULATED)
