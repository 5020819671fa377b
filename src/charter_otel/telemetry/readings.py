"""Choice of a robot's live reading: its ``timestamp`` decides.

A reading older than the newest one is late and changes nothing. A reading from the future counts as
of now, because the robot's clock is wrong. A clock that was set back makes every reading late:
once late readings have kept pace with time for a while, they are live again.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import structlog

from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Lateness, Robot
from charter_otel.telemetry.frames import Frame

AHEAD = 60.0
"""Seconds by which a clock may differ from this machine's; beyond it, it is wrong."""

RESET_AFTER = 30.0
"""Seconds for which late readings keep their offset until the clock counts as set back."""

SAME_OFFSET = 5.0
"""Seconds by which that offset may waver. A backlog is sent faster than it was recorded."""

Outcome = Literal["new", "late", "skewed"]
"""The outcome of a reading: values of ``charter.reading.outcome``. A skewed one is new, too."""

log = structlog.get_logger(__name__)


def take_reading(robot: Robot, reading: Frame, connection: Connection) -> Outcome:
    """Take a reading that came just now, and return whether it is the live one now."""
    now = time.time()
    at, outcome = _judge(reading.timestamp, robot.updated_at, now)
    if outcome == "late":
        if not _is_set_back(robot, at, now):
            return "late"
        outcome = "skewed"
    elif robot.clock_is_behind:
        robot.clock_is_behind = at < now - AHEAD
        if robot.clock_is_behind:
            outcome = "skewed"
    robot.reading = reading
    robot.reading_from = connection.id
    robot.updated_at = at
    robot.arrived_at = now
    robot.lateness = None
    return outcome


def take_readings(robot: Robot, readings: Sequence[Frame], connection: Connection) -> Counter[str]:
    """Take a list of readings in any order, and count their outcomes.

    A reading of the list is late if it is older than the newest one before the list. The newest
    reading of the list becomes the live one unless it is late.
    """
    before, now = robot.updated_at, time.time()
    judged = [_judge(reading.timestamp, before, now) for reading in readings]
    newest = max(range(len(judged)), key=lambda index: (judged[index][0], index))
    outcomes: list[str] = [outcome for _, outcome in judged]
    outcomes[newest] = take_reading(robot, readings[newest], connection)
    return Counter(outcomes)


def _judge(timestamp: float | None, newest: float, now: float) -> tuple[float, Outcome]:
    """Return the time as of which a reading counts, and its outcome."""
    if timestamp is None:
        # In the order of arrival, whatever this machine's clock does meanwhile.
        return now, "new"
    if timestamp > now + AHEAD:
        return now, "skewed"
    return timestamp, "late" if timestamp < newest else "new"


def _is_set_back(robot: Robot, at: float, now: float) -> bool:
    """Return whether the robot's clock was set back: late readings have kept pace with time."""
    moment = time.monotonic()
    offset, lateness = at - moment, robot.lateness
    if lateness is None or abs(offset - lateness.offset) > SAME_OFFSET:
        robot.lateness = Lateness(offset, moment)
        return False
    if moment - lateness.since < RESET_AFTER:
        return False
    robot.clock_is_behind = at < now - AHEAD
    log.warning("a robot's clock was set back", robot_id=robot.robot_id, behind_seconds=now - at)
    return True
