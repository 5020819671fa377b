"""The readings of a simulated robot: values that wander, a battery that drains and charges."""

from random import Random

DRAIN = 0.15
"""Percent of the battery that a second of work takes, with an idle processor."""

CHARGE = 1.5
"""Percent of the battery that a second in the dock gives."""

_LOW, _FULL = 15.0, 95.0


class RandomWalk:
    """A value that wanders at random and is drawn back to its centre."""

    def __init__(self, random: Random, *, home: float, step: float, high: float) -> None:
        self._random = random
        self._home = random.uniform(0.6, 1.4) * home
        self._step = step
        self._high = high
        self.value = self._home

    def next(self) -> float:
        """Take a step."""
        value = self.value + self._random.gauss(0, self._step) + 0.05 * (self._home - self.value)
        self.value = min(max(value, 0.0), self._high)
        return round(self.value, 2)


class SimulatedReadings:
    """The readings of one robot, from frame to frame.

    Args:
        random: The source of chance; the same seed gives the same readings.
    """

    def __init__(self, random: Random) -> None:
        self._cpu = RandomWalk(random, home=35, step=4, high=100)
        self._memory = RandomWalk(random, home=50, step=0.8, high=98)
        self._latency = RandomWalk(random, home=18, step=3, high=2_000)
        self._battery = random.uniform(30, 100)
        self._charging = False
        self._drain = DRAIN

    @property
    def battery(self) -> float:
        """Percent of the battery that is left."""
        return self._battery

    def run_down(self, seconds: float) -> None:
        """Begin with a third of the charge, and use it up within the given seconds."""
        self._battery, self._charging = _LOW + 20.0, False
        self._drain = 20.0 / seconds

    def next(self, seconds: float) -> dict[str, float]:
        """Return the readings ``seconds`` after the last ones."""
        cpu = self._cpu.next()
        self._use_battery(cpu, seconds)
        return {
            "cpu_usage": cpu,
            "memory_usage": self._memory.next(),
            "network_latency_ms": self._latency.next(),
            "battery_percentage": round(self._battery, 2),
        }

    def _use_battery(self, cpu: float, seconds: float) -> None:
        change = CHARGE if self._charging else -self._drain * (1 + cpu / 100)
        self._battery = min(max(self._battery + change * seconds, 0.0), 100.0)
        if self._battery <= _LOW:
            self._charging, self._drain = True, DRAIN
        elif self._battery >= _FULL:
            self._charging = False
