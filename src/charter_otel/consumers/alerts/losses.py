"""Lost robots: single ones, flapping ones, or many at once for one cause."""

import math
from collections.abc import Collection

from charter_otel.consumers.alerts.memory import MOST_HANDED_ON, Memory
from charter_otel.consumers.base import keep_latest
from charter_otel.thresholds import Flaps, Thresholds

MOST_ROBOTS = 100_000
"""Most robots that are remembered of each kind; beyond it, the first one is forgotten."""

_COUNTS = 0.25
"""From this penalty on, a robot may flap after two more disconnects."""


class Losses:
    """Counts the robots that a fleet loses, so that many losses for one cause are one page.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._missing: dict[str, None] = {}
        """Robots that are lost and not back."""
        self._recent: dict[str, float] = {}
        """When robots were lost, even if they are back; the oldest loss first."""
        self._online: dict[str, None] = {}
        self._flaps: dict[str, Flaps] = {}
        self._flapping: dict[str, Flaps] = {}
        self._next_steady = -math.inf
        """When the first of them can be steady again."""
        self._calm_since: float | None = None
        self._connected = 0
        """Robots that the last holder knew to be connected; their names are not handed on."""

    def remember(self, memory: Memory, now: float) -> None:
        """Add the losses that the next holder needs."""
        memory.connected = max(self._connected, len(self._online))
        memory.missing = list(self._missing)[-MOST_HANDED_ON:]
        memory.recent = {r: now - at for r, at in list(self._recent.items())[-MOST_HANDED_ON:]}
        penalties = ((r, round(flaps.penalty(now), 3)) for r, flaps in self._flaps.items())
        often = sorted(((p, r) for r, p in penalties if p >= _COUNTS), reverse=True)
        memory.penalties = {robot_id: p for p, robot_id in often[:MOST_HANDED_ON]}
        memory.flapping = [r for r in self._flapping if r in memory.penalties]

    def restore(self, memory: Memory, now: float) -> None:
        """Begin with the losses that the last holder knew."""
        then = now - memory.elapsed()
        self._connected = memory.connected
        self._missing = dict.fromkeys(memory.missing)
        self._recent = {robot_id: then - age for robot_id, age in memory.recent.items()}
        self._flaps, self._flapping = {}, {}
        for robot_id, penalty in memory.penalties.items():
            flaps = self._flaps[robot_id] = Flaps(self._thresholds.flap_half_life)
            flaps.resume(penalty, then, flapping=robot_id in memory.flapping)
        self._flapping = {r: self._flaps[r] for r in memory.flapping if r in self._flaps}
        self._next_steady = -math.inf

    def back(self, robot_id: str) -> None:
        """Record that a robot is connected."""
        self._missing.pop(robot_id, None)
        keep_latest(self._online, robot_id, None, MOST_ROBOTS)

    def left(self, robot_id: str) -> None:
        """Record that a robot's connection ended."""
        self._online.pop(robot_id, None)

    def lost(self, robot_id: str, now: float) -> None:
        """Record that a robot's connection ended unexpectedly."""
        self.left(robot_id)
        keep_latest(self._missing, robot_id, None, MOST_ROBOTS)
        keep_latest(self._recent, robot_id, now, MOST_ROBOTS)

    def at_once(self, now: float) -> int:
        """Return how many robots were lost within the window and are not back."""
        self._forget(now)
        return len(self._missing.keys() & self._recent.keys())

    def is_fleet_wide(self, lost: int) -> bool:
        """Return whether so many losses are one incident of the fleet."""
        connected = max(self._connected, len(self._online))
        return self._thresholds.is_fleet_wide(lost, connected)

    def is_calm(self, now: float) -> bool:
        """Return whether few robots have been missing or lost for the length of a window.

        Few means half of the number that opens the fleet's incident. So robots that come and go
        around the limit do not open and close it.
        """
        self._forget(now)
        if self.is_fleet_wide(2 * max(len(self._missing), len(self._recent))):
            self._calm_since = None
            return False
        if self._calm_since is None:
            self._calm_since = now
        return now - self._calm_since >= self._thresholds.fleet_window

    def flaps(self, robot_id: str, now: float) -> bool:
        """Count a robot's disconnect, and return whether the robot flaps now."""
        flaps = self._flaps.get(robot_id) or Flaps(self._thresholds.flap_half_life)
        keep_latest(self._flaps, robot_id, flaps, MOST_ROBOTS)
        flaps.add(now)
        if flaps.judge(now, self._thresholds):
            keep_latest(self._flapping, robot_id, flaps, MOST_ROBOTS)
            self._next_steady = min(self._next_steady, flaps.steady_at(self._thresholds))
        return flaps.flapping

    def flapping(self, now: float) -> Collection[str]:
        """Return the robots that flap."""
        if now >= self._next_steady:
            limits = self._thresholds
            self._flapping = {r: f for r, f in self._flapping.items() if f.judge(now, limits)}
            steady = (flaps.steady_at(limits) for flaps in self._flapping.values())
            self._next_steady = min(steady, default=math.inf)
        return self._flapping.keys()

    def _forget(self, now: float) -> None:
        since = now - self._thresholds.fleet_window
        while self._recent:
            robot_id, lost = next(iter(self._recent.items()))
            if lost > since:
                break
            del self._recent[robot_id]
