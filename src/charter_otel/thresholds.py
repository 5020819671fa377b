"""The thresholds of trouble: one set for the service, its alert rules and its pages.

The specification sets a run over 5 s, a connection under 60 s, a battery under 20 % and a CPU over
90 %. `CHARTER_THRESHOLDS` changes any of them: ``battery_low=15,battery_recovered=20``. After
a change for the service, generate the rules and dashboards with the same variable.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

VARIABLE = "CHARTER_THRESHOLDS"

Percent = Annotated[float, Meta(ge=0, le=100)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(gt=0, le=100)]

MOST_FLAPS = 6.0
"""A penalty never grows beyond this, so that a robot recovers within a few half-lives."""


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds. A condition that opens at one number resolves at another one."""

    battery_low: Percent = 20.0
    """Percent; a battery below it needs its dock."""
    battery_recovered: Percent = 25.0
    """Percent; a low battery has recovered from this level on."""
    cpu_high: Percent = 90.0
    """Percent; a robot above it is overloaded."""
    cpu_recovered: Percent = 80.0
    """Percent; a high CPU usage has recovered once it is down to this level."""
    slow_job: Seconds = 5.0
    """A run that takes longer is slow; a boundary of the histogram of runs."""
    short_connection: Seconds = 60.0
    """A connection that lasts less is short; a boundary of the histogram of connections."""
    job_failures: Count = 3
    """This many failures of a job or a robot within `job_failures_window` escalate."""
    job_failures_window: Seconds = 600.0
    fleet_robots: Count = 5
    """A fleet-wide loss takes at least this many robots within `fleet_window`,"""
    fleet_share: Share = 0.01
    """and at least this share of those that were connected: of 10,000 robots a hundred."""
    fleet_window: Seconds = 60.0
    flap_opens: Penalty = 2.5
    """A robot flaps from this penalty on: each disconnect adds 1, which halves with time,"""
    flap_resolves: Penalty = 0.75
    """until it has fallen below this one."""
    flap_half_life: Seconds = 600.0
    silence: Seconds = 12.0
    """An instance is silent after three intervals of its heartbeat and this many seconds."""
    handshakes_objective: Share = 0.999
    """Share of the handshakes to be answered without an error within a second."""
    events_objective: Share = 0.999
    """Share of the events to be handled by each subscriber within 5 s."""
    job_objective: Share = 0.99
    """Share of a job's slots that are to complete."""
    robots_objective: Share = 0.99
    """Target share of the time in which robots that want to be connected are connected."""

    def __post_init__(self) -> None:
        """Refuse pairs that can never resolve.

        Raises:
            ValueError: A condition would resolve before it opens.
        """
        if self.battery_recovered <= self.battery_low:
            raise ValueError("battery_recovered must be above battery_low")
        if self.cpu_recovered >= self.cpu_high:
            raise ValueError("cpu_recovered must be below cpu_high")
        if self.flap_resolves >= self.flap_opens:
            raise ValueError("flap_resolves must be below flap_opens")

    def is_fleet_wide(self, lost: int, connected: int) -> bool:
        """Return whether a loss is the fleet's, not that of single robots.

        Args:
            lost: Robots that were lost within `fleet_window` and are not back.
            connected: Robots that are connected, as far as is known.
        """
        return lost >= max(self.fleet_robots, self.fleet_share * (connected + lost))


def parse(text: str) -> Thresholds:
    """Return the thresholds of a text such as ``battery_low=15,battery_recovered=20``.

    Raises:
        ValueError: The text names no threshold, or gives one a value that it cannot have.
    """
    given: dict[str, Any] = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or name not in Thresholds.__struct_fields__:
            known = ", ".join(Thresholds.__struct_fields__)
            raise ValueError(f"{item!r} is not name=number with a name of {known}")
        given[name] = value
    return msgspec.convert(given, Thresholds, strict=False)


def from_environment(environment: Mapping[str, str]) -> Thresholds:
    """Return the thresholds that the environment asks for.

    Raises:
        ValueError: The variable is wrong; the text names it.
    """
    try:
        return parse(environment.get(VARIABLE, ""))
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from error


class Flaps(Struct, gc=False):
    """A robot's recent disconnects: a penalty that grows by 1 each and halves with time.

    RFC 2439 damps routes in the same way: a flapping one is reported once, and recovers only after
    it has been quiet for a while.
    """

    _half_life: float
    _penalty: float = 0.0
    _at: float = 0.0
    flapping: bool = False

    def penalty(self, now: float) -> float:
        """Return the penalty at a time of a monotonic clock."""
        return self._penalty * math.exp2(-max(0.0, now - self._at) / self._half_life)

    def steady_at(self, thresholds: Thresholds) -> float:
        """Return when the penalty falls below the lower limit, if no disconnect comes before."""
        halvings = math.log2(self._penalty / thresholds.flap_resolves)
        return self._at + self._half_life * halvings

    def add(self, now: float) -> None:
        """Count a disconnect."""
        self._penalty = min(MOST_FLAPS, self.penalty(now) + 1)
        self._at = now

    def resume(self, penalty: float, now: float, *, flapping: bool) -> None:
        """Go on with the penalty that another process has counted."""
        self._penalty, self._at, self.flapping = penalty, now, flapping

    def judge(self, now: float, thresholds: Thresholds) -> bool:
        """Return whether it flaps: from the upper penalty on, until it is below the lower one."""
        limit = thresholds.flap_resolves if self.flapping else thresholds.flap_opens
        self.flapping = self.penalty(now) >= limit
        return self.flapping
