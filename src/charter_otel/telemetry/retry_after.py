"""Return times of robots that are refused or released: the more robots, the wider the spread.

A herd that gets one moment comes back in that moment. So each robot gets its own, from a span in
which the service can take them all.
"""

import math
import random
import time
from collections.abc import Callable

ACCEPTED_PER_SECOND = 200
"""Handshakes a second that leave an instance time for its connected robots."""

_REMEMBERED = 30.0
"""Seconds after which a refusal counts for a third."""


class Herd:
    """Estimates the number of robots that were refused lately and will try again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._level = 0.0
        self._at = clock()

    def refused(self) -> float:
        """Count a refusal, and return how many robots are about to come back."""
        now = self._clock()
        self._level = 1 + self._level * math.exp((self._at - now) / _REMEMBERED)
        self._at = now
        return self._level


def seconds_to_return(at_least: float, herd: float) -> int:
    """Return the seconds after which one robot of a herd should come back.

    Args:
        at_least: Seconds within which nothing will have changed.
        herd: How many robots come back.
    """
    # Not a secret: it spreads robots.
    jitter = random.uniform(0, at_least + herd / ACCEPTED_PER_SECOND)  # noqa: S311
    return math.ceil(at_least + jitter)
