"""Facts that the next holder needs to judge what comes: lost robots, flapping ones, failures."""

import time
from collections import deque

from msgspec import Struct, field

from charter_otel.thresholds import Thresholds

MOST_HANDED_ON = 1_000
"""Most robots of each kind that are handed on, those that count most first."""


class Memory(Struct):
    """Recent losses, penalties and failures; ages are seconds before `at`."""

    at: float = field(default_factory=time.time)
    """This machine's wall clock, which also holds after a restart."""
    connected: int = 0
    missing: list[str] = []
    """Robots that are lost and not back."""
    recent: dict[str, float] = {}
    """Ages of the losses within the window, by robot."""
    penalties: dict[str, float] = {}
    """Penalties of robots that disconnect often."""
    flapping: list[str] = []
    failures: dict[str, list[float]] = {}
    """Ages of the failures within the window, by incident."""
    paged: dict[str, float] = {}
    """Ages of the pages for lost robots, by incident."""

    def elapsed(self) -> float:
        """Return the seconds since it was written, unless the clock was set back meanwhile."""
        return max(0.0, time.time() - self.at)


MAX_KEYS = 100_000
"""Most jobs and robots whose failures are counted; beyond it, the first one is forgotten."""


class Failures:
    """Times of the failures of each job and robot within a window.

    Args:
        thresholds: The number of failures that is kept of each, and for how long one counts.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._most, self._window = thresholds.job_failures, thresholds.job_failures_window
        self._times: dict[str, deque[float]] = {}

    def count(self, key: str, now: float) -> int:
        """Count a failure, and return how many there have been within the window."""
        times = self._times.setdefault(key, deque(maxlen=self._most))
        times.append(now)
        if len(self._times) > MAX_KEYS:
            del self._times[next(iter(self._times))]
        while times[0] <= now - self._window:
            times.popleft()
        return len(times)

    def forget(self, key: str) -> None:
        """Begin to count anew."""
        self._times.pop(key, None)

    def ages(self, now: float) -> dict[str, list[float]]:
        """Return the ages of the failures that count, of the most recent keys."""
        ages = {key: [now - at for at in times] for key, times in self._times.items()}
        recent = [(key, each) for key, each in ages.items() if each[-1] < self._window]
        return dict(recent[-MOST_HANDED_ON:])

    def restore(self, ages: dict[str, list[float]], then: float) -> None:
        """Begin with what another process has counted until a time of the own clock."""
        self._times = {
            key: deque((then - age for age in each), maxlen=self._most)
            for key, each in ages.items()
        }
