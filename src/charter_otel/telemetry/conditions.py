"""Conditions of robots: counted exactly, and returned worst first.

They are evaluated when the metrics are collected, from the newest readings, so that a frame costs
nothing.
"""

import time
from collections.abc import Callable, Iterator

from charter_otel.charter import EXPECTED_CLOSE_REASONS, CloseReason
from charter_otel.telemetry.fleet import Fleet, Robot

FRESH = 0.5
"""Seconds for which an evaluation is valid: all metrics of a collection share one."""

Found = dict[str, dict[str, Robot]]
"""The robots in each condition by their ids, the worst first."""


class Conditions:
    """The robots of a fleet that are in trouble.

    A low battery and a high CPU usage open at one limit and resolve at another. So a wavering
    reading does not make them come and go.
    """

    def __init__(self, fleet: Fleet, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet = fleet
        self._clock = clock
        self._found: Found = {"low_battery": {}, "high_cpu": {}}
        self._looked = float("-inf")

    def look(self) -> Found:
        """Return the robots in each condition, as of now or of a moment ago."""
        now = self._clock()
        if now - self._looked >= FRESH:
            self._looked = now
            self._found = self._judge(now)
        return self._found

    def worst_first(self, *conditions: str) -> Iterator[Robot]:
        """Iterate over all robots: those in the given conditions, other trouble, then the rest."""
        found = self.look()
        seen: set[str] = set()
        for name in dict.fromkeys((*conditions, *found)):
            for robot_id, robot in found[name].items():
                if robot_id not in seen:
                    seen.add(robot_id)
                    yield robot
        for robot in self._fleet:
            if robot.robot_id not in seen:
                yield robot

    def _judge(self, now: float) -> Found:
        limits = self._fleet.thresholds
        was_low, was_high = self._found["low_battery"], self._found["high_cpu"]
        low: list[tuple[float, Robot]] = []
        high: list[tuple[float, Robot]] = []
        flapping: list[tuple[float, Robot]] = []
        for robot in self._fleet:
            reading, name = robot.reading, robot.robot_id
            if robot.flaps is not None and robot.flaps.judge(now, limits):
                flapping.append((-robot.flaps.penalty(now), robot))
            if reading is None or robot.connection is None:
                continue
            battery, cpu = reading.battery_percentage, reading.cpu_usage
            if battery < (limits.battery_recovered if name in was_low else limits.battery_low):
                low.append((battery, robot))
            if cpu > (limits.cpu_recovered if name in was_high else limits.cpu_high):
                high.append((-cpu, robot))
        # An instance that stops releases its robots to others: they are not offline, but those are
        # that another instance has waited for in vain.
        gone = {
            robot.robot_id: robot
            for robot in self._fleet.gone()
            if robot.adopted or robot.last_reason != CloseReason.SERVER_SHUTDOWN
        }
        return {
            "low_battery": _sorted(low),
            "high_cpu": _sorted(high),
            "flapping": _sorted(flapping),
            "offline": gone,
            "lost": {name: robot for name, robot in gone.items() if _is_lost(robot)},
        }


def _sorted(robots: list[tuple[float, Robot]]) -> dict[str, Robot]:
    """Return the robots in order, without simulated ones: they raise no alert."""
    robots = [item for item in robots if not item[1].simulated]
    robots.sort(key=lambda item: (item[0], item[1].robot_id))
    return {robot.robot_id: robot for _, robot in robots}


def _is_lost(robot: Robot) -> bool:
    """Return whether nobody meant an offline robot to be: a stop releases it to come back."""
    meant = EXPECTED_CLOSE_REASONS - {CloseReason.SERVER_SHUTDOWN}
    return robot.last_reason not in meant and not robot.simulated
