"""Aggregates add up, and stay within their caps."""

import sys

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.metrics.missions.aggregates import (
    OTHER,
    Aggregates,
    Durations,
    RobotAggregate,
    StatusAggregate,
)
from charter_otel.metrics.missions.counting import MissionCounter
from charter_otel.metrics.missions.report import report
from support.missions import entry


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["completed", "failed"]),
            st.sampled_from(["robot_001", "robot_002"]),
            st.integers(0, 1_000),
            st.booleans(),
        )
    ),
    st.integers(1, 5),
)
def test_batches_add_up_to_the_whole(rows: list[tuple[str, str, int, bool]], size: int) -> None:
    """Counting in batches, of any size, comes to the same as counting all at once."""
    data = [
        entry(status=status, robot_id=robot, duration_ms=number, timestamp=number)
        if valid
        else b"{"
        for status, robot, number, valid in rows
    ]
    whole, sum_of_batches = Aggregates(), Aggregates()
    whole.add(_counted(data))
    for start in range(0, len(data), size):
        sum_of_batches.add(_counted(data[start : start + size]))
    assert sum_of_batches == whole


def test_statuses_beyond_the_cap_count_as_other() -> None:
    """However many statuses there are, a bounded number is kept, and no entry is lost."""
    aggregates = Aggregates()
    for number in range(192):
        aggregates.add(Aggregates(by_status={f"status-{number}": StatusAggregate(entries=1)}))
    assert len(aggregates.by_status) == 64
    assert aggregates.by_status[OTHER].entries == 129
    assert sum(a.entries for a in aggregates.by_status.values()) == 192


def test_robots_beyond_the_cap_are_counted_together() -> None:
    """The fleet is kept by robot up to a cap; the report says that it was reached."""
    aggregates = Aggregates()
    robots = {f"robot_{number}": RobotAggregate(entries=2) for number in range(10_005)}
    touched = aggregates.add(Aggregates(by_robot=robots))
    fleet = report(aggregates).robots
    assert (fleet.total, fleet.at_cap, fleet.entries_beyond_cap) == (10_000, True, 10)
    assert touched.robots == fleet.by_robot.keys()


def test_the_sum_of_durations_stays_finite() -> None:
    """Two durations that overflow together leave a number that JSON can carry."""
    huge = Durations(count=1, total=sys.float_info.max, min=1.0, max=sys.float_info.max)
    sums = Durations()
    sums.add(huge)
    sums.add(huge)
    assert msgspec.json.decode(msgspec.json.encode(sums), type=Durations) == sums
    assert sums.count == 2


def _counted(data: list[bytes]) -> Aggregates:
    counter = MissionCounter(0)
    counter.add(data)
    return counter.aggregates()
