"""The aggregates of the mission entries: counts, durations and last times, in bounded memory."""

import sys
from typing import NamedTuple

from msgspec import Struct, field

STATUS_CAP = 64
"""Statuses that are kept by name; entries with a status beyond them count as `OTHER`."""
ROBOT_CAP = 10_000
"""Robots that are kept by id; entries of robots beyond them are counted together."""
OTHER = "other"
"""The status under which statuses beyond the cap are counted."""


class Durations(Struct, gc=False):
    """Durations of missions, in milliseconds."""

    count: int = 0
    total: float = 0.0
    min: float | None = None
    max: float | None = None

    def add(self, other: "Durations") -> None:
        """Add other durations to these."""
        self.count += other.count
        # The sum of finite durations may not be finite; JSON has no infinity.
        self.total = min(self.total + other.total, sys.float_info.max)
        self.min = _lowest(self.min, other.min)
        self.max = _highest(self.max, other.max)


class StatusAggregate(Struct):
    """The entries with one status."""

    entries: int = 0
    last_seen_at: float = 0.0
    """Latest time of an entry, in Unix seconds."""
    duration_ms: Durations = field(default_factory=Durations)

    def add(self, other: "StatusAggregate") -> None:
        """Add other entries to these."""
        self.entries += other.entries
        self.last_seen_at = max(self.last_seen_at, other.last_seen_at)
        self.duration_ms.add(other.duration_ms)


class RobotAggregate(Struct, gc=False):
    """The entries of one robot."""

    entries: int = 0
    last_seen_at: float = 0.0
    """Latest time of an entry, in Unix seconds."""

    def add(self, other: "RobotAggregate") -> None:
        """Add other entries to these."""
        self.entries += other.entries
        self.last_seen_at = max(self.last_seen_at, other.last_seen_at)


class ChangedKeys(NamedTuple):
    """The parts that an addition changed, beside the totals."""

    statuses: set[str]
    robots: set[str]


class Totals(Struct):
    """The numbers that cover all entries."""

    entries_processed: int = 0
    """Entries counted, malformed ones not among them."""
    malformed: dict[str, int] = field(default_factory=dict)
    """Entries skipped, by reason."""
    last_seen_at: float | None = None
    """Latest time of an entry, in Unix seconds."""
    entries_beyond_robot_cap: int = 0
    """Entries of robots that are not kept by id, because there are `ROBOT_CAP` others."""

    def add(self, other: "Totals") -> None:
        """Add other totals to these."""
        self.entries_processed += other.entries_processed
        self.entries_beyond_robot_cap += other.entries_beyond_robot_cap
        self.last_seen_at = _highest(self.last_seen_at, other.last_seen_at)
        for reason, count in other.malformed.items():
            self.malformed[reason] = self.malformed.get(reason, 0) + count


class Aggregates(Struct):
    """The aggregates of all entries, or of one batch."""

    totals: Totals = field(default_factory=Totals)
    by_status: dict[str, StatusAggregate] = field(default_factory=dict)
    by_robot: dict[str, RobotAggregate] = field(default_factory=dict)

    def add(self, other: "Aggregates") -> ChangedKeys:
        """Add the aggregates of a batch, within the caps; return the changed parts."""
        self.totals.add(other.totals)
        return ChangedKeys(self._add_statuses(other), self._add_robots(other))

    def _add_statuses(self, other: "Aggregates") -> set[str]:
        touched = set()
        for status, aggregate in other.by_status.items():
            # One place is kept for OTHER itself.
            known = status in self.by_status or len(self.by_status) < STATUS_CAP - 1
            name = status if known else OTHER
            self.by_status.setdefault(name, StatusAggregate()).add(aggregate)
            touched.add(name)
        return touched

    def _add_robots(self, other: "Aggregates") -> set[str]:
        touched = set()
        for robot_id, aggregate in other.by_robot.items():
            if robot_id not in self.by_robot and len(self.by_robot) >= ROBOT_CAP:
                self.totals.entries_beyond_robot_cap += aggregate.entries
                continue
            self.by_robot.setdefault(robot_id, RobotAggregate()).add(aggregate)
            touched.add(robot_id)
        return touched


def _lowest(*values: float | None) -> float | None:
    return min((v for v in values if v is not None), default=None)


def _highest(*values: float | None) -> float | None:
    return max((v for v in values if v is not None), default=None)
