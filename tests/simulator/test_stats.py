"""The figures that a run of simulated robots ends with."""

from charter_otel.simulator.stats import Latency, _latency


def test_percentiles_of_the_round_trips_are_in_milliseconds() -> None:
    """Of a hundred from 1 to 100 ms: below which half, nine of ten and 99 lie, and the longest."""
    found = _latency([number / 1_000 for number in range(1, 101)])
    assert found == Latency(51.0, 91.0, 100.0, 100.0)
    assert _latency([]) is None
