"""The way from raw entries to aggregates."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec

from charter_otel.charter import ROBOT_ID_PATTERN, is_robot_id
from charter_otel.metrics.missions.aggregates import (
    Aggregates,
    Durations,
    RobotAggregate,
    StatusAggregate,
    Totals,
)
from charter_otel.metrics.missions.entries import MissionEntry

NO_DATA = "no_data"
"""The stream entry has no ``data`` field."""
NOT_JSON = "not_json"
"""The entry is not JSON."""
NOT_AN_ENTRY = "not_an_entry"
"""A field is missing or wrong."""

EXAMPLES_KEPT = 5
"""Number of error texts that are kept of malformed entries."""
_TEXT_KEPT = 200


class _QuickEntry(MissionEntry, gc=False):
    """An entry whose robot id is checked once for each robot instead of once for each entry."""

    robot_id: str | None = None


_Grouped = defaultdict[str, list[MissionEntry]]
"""Entries by status."""


class MissionCounter:
    """Decodes and counts entries; malformed ones are skipped and counted with a reason.

    Args:
        now: The time, in Unix seconds, of an entry without a timestamp.
    """

    def __init__(self, now: float) -> None:
        self._now = now
        self._by_status: dict[str, StatusAggregate] = {}
        self._by_robot: dict[str | None, RobotAggregate] = {}
        self._malformed: dict[str, int] = {}
        self.examples: list[str] = []
        """The errors of the first malformed entries."""

    def add(self, data: Iterable[bytes | None]) -> None:
        """Count entries and release them at once: a few at a time stay in the processor's cache.

        Args:
            data: The entries' JSON; None for a stream entry that carries none.
        """
        waiting, by_status = iter(data), _Grouped(list)
        # The entry that failed is taken from the iterator: what remains is the rest.
        while (error := self._until_malformed(waiting, by_status)) is not None:
            self._reject(error)
        for status, entries in by_status.items():
            self._by_status.setdefault(status, StatusAggregate()).add(_status_aggregate(entries))

    def aggregates(self) -> Aggregates:
        """Return the aggregates of all entries so far."""
        totals = Totals(
            entries_processed=sum(s.entries for s in self._by_status.values()),
            malformed=self._malformed,
            last_seen_at=max((r.last_seen_at for r in self._by_robot.values()), default=None),
        )
        return Aggregates(
            totals,
            self._by_status,
            {robot_id: r for robot_id, r in self._by_robot.items() if robot_id is not None},
        )

    def _until_malformed(
        self, waiting: Iterable[bytes | None], by_status: _Grouped
    ) -> Exception | None:
        try:
            self._group(waiting, by_status)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            return error
        return None

    def _group(self, waiting: Iterable[bytes | None], by_status: _Grouped) -> None:
        """Sort entries until one is malformed. Written for speed: this is the job's inner loop."""
        by_robot = self._by_robot
        for entry in map(_DECODE, waiting):
            seen_at = entry.timestamp
            if seen_at is None:
                seen_at = entry.timestamp = self._now
            try:
                robot = by_robot[entry.robot_id]
            except KeyError:
                _check_robot_id(entry.robot_id)
                robot = by_robot[entry.robot_id] = RobotAggregate()
            robot.entries += 1
            if seen_at > robot.last_seen_at:  # noqa: PLR1730 - max() costs a call
                robot.last_seen_at = seen_at
            by_status[entry.status].append(entry)

    def _reject(self, error: Exception) -> None:
        reason = _reason(error)
        self._malformed[reason] = self._malformed.get(reason, 0) + 1
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(f"{reason}: {error}"[:_TEXT_KEPT])


def _status_aggregate(entries: list[MissionEntry]) -> StatusAggregate:
    durations = [e.duration_ms for e in entries if e.duration_ms is not None]
    return StatusAggregate(
        entries=len(entries),
        last_seen_at=max([e.timestamp for e in entries if e.timestamp is not None]),
        duration_ms=Durations(
            count=len(durations),
            total=min(sum(durations), sys.float_info.max),
            min=min(durations, default=None),
            max=max(durations, default=None),
        ),
    )


def _reason(error: Exception) -> str:
    if isinstance(error, TypeError):
        return NO_DATA
    return NOT_AN_ENTRY if isinstance(error, msgspec.ValidationError) else NOT_JSON


@lru_cache(maxsize=16_384)
def _check_robot_id(robot_id: str | None) -> None:
    if robot_id is not None and not is_robot_id(robot_id):
        raise msgspec.ValidationError(
            f"Expected `str` matching regex {ROBOT_ID_PATTERN!r} - at `$.robot_id`"
        )


_DECODE: Callable[[Any], _QuickEntry] = msgspec.json.Decoder(_QuickEntry).decode
