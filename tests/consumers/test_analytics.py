"""Statistics of jobs, connections and readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.consumers import Analytics
from charter_otel.consumers.analytics import summarize
from charter_otel.streams import MemoryStream
from consumers.conftest import Make
from support.polling import eventually


def test_durations_and_throughput_of_a_job(completed: Make) -> None:
    """Mean, percentiles and entries per second of the runs."""
    analytics = Analytics()
    for milliseconds in (1000.0, 2000.0, 3000.0):
        analytics.apply(completed(milliseconds, 30))
    job = analytics.job("aggregate")
    assert job is not None
    assert (job.duration_ms.mean, job.duration_ms.p50, job.duration_ms.maximum) == (
        2000,
        2000,
        3000,
    )
    assert (job.entries_processed, job.entries_per_second) == (90, 15.0)
    assert analytics.job("another") is None


def test_durations_and_close_reasons_of_connections(closed: Make) -> None:
    """Per robot and for all, with the reasons counted."""
    analytics = Analytics()
    analytics.apply(closed("a", seconds=100))
    analytics.apply(closed("b", "connection_lost", seconds=300))
    everybody, one = analytics.connections(), analytics.connections("a")
    assert everybody is not None
    assert one is not None
    assert (everybody.mean, one.mean) == (200, 100)
    assert analytics.reasons() == {"client_disconnect": 1, "connection_lost": 1}
    assert analytics.connections("c") is None


@pytest.mark.parametrize("seconds", [1e15 + 1, 1e300])
def test_a_value_beyond_reason_counts_as_the_largest(closed: Make, seconds: float) -> None:
    """An event may bring any finite number, and the sum of two such does not overflow."""
    analytics = Analytics()
    for robot in ("a", "b"):
        analytics.apply(closed(robot, seconds=seconds))
    everybody = analytics.connections()
    assert everybody is not None
    assert (everybody.mean, everybody.maximum) == (1e15, 1e15)


def test_the_trend_of_a_battery(published: Make) -> None:
    """A battery that loses a percent each minute loses sixty an hour."""
    analytics = Analytics()
    for minute in range(10):
        analytics.apply(published(battery=80.0 - minute, at=60.0 * minute))
    assert analytics.trend("robot_001", "battery_percentage") == pytest.approx(-60.0)
    assert analytics.trend("robot_001", "cpu_usage") == 0
    assert analytics.trend("robot_002", "cpu_usage") is None


def test_the_latest_ten_thousand_connections_count(closed: Make) -> None:
    """Those of all robots together; what came before is forgotten."""
    analytics = Analytics()
    analytics.apply(closed("a", "connection_lost", seconds=300))
    last = closed("a", seconds=100)
    for _ in range(10_000):
        analytics.apply(last)
    assert analytics.reasons() == {"client_disconnect": 10_000}


def test_memory_is_bounded(published: Make) -> None:
    """Each series keeps its latest values, and the number of series has a limit."""
    analytics = Analytics(max_series=2, max_points=3)
    for at in range(5):
        analytics.apply(published("a", at=float(at)))
    assert [point.timestamp for point in analytics.readings("a")] == [2, 3, 4]
    for robot in ("b", "a", "c"):
        analytics.apply(published(robot))
    assert analytics.readings("a")
    assert analytics.readings("b") == []


def test_percentiles_lie_between_the_values() -> None:
    """The median of two values is their middle, as of any number of them."""
    two, three = summarize([1.0, 3.0]), summarize([1.0, 3.0, 8.0])
    assert (two.p50, round(two.p95, 6)) == (2.0, 2.9)
    assert (three.p50, round(three.p95, 6)) == (3.0, 7.5)


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_a_summary_lies_within_its_values(values: list[float]) -> None:
    """No statistic is smaller than the least value or larger than the greatest."""
    summary = summarize(values)
    assert summary.size == len(values)
    for value in (summary.mean, summary.p50, summary.p95):
        assert min(values) <= value * (1 + 1e-9)
        assert value <= max(values) * (1 + 1e-9)


async def test_it_follows_the_stream(completed: Make) -> None:
    """A published event arrives."""
    stream, analytics = MemoryStream(), Analytics()
    analytics.attach(stream)
    await stream.start()
    await analytics.start()
    try:
        stream.publish_nowait(completed())
        await eventually(lambda: analytics.job("aggregate"), "the run")
    finally:
        await stream.stop()
        await analytics.stop()
