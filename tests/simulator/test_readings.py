"""The readings of simulated robots."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from charter_otel.simulator.readings import SimulatedReadings
from charter_otel.telemetry import frames


@given(seed=st.integers(), seconds=st.floats(0.001, 600))
def test_every_reading_is_one_that_the_service_takes(seed: int, seconds: float) -> None:
    """The readings stay within the service's limits, whatever the random numbers."""
    readings = SimulatedReadings(Random(seed))  # noqa: S311 - readings, not secrets
    for _ in range(50):
        reading = frames.parse(frames._ENCODER.encode(readings.next(seconds)))
        assert isinstance(reading, frames.Frame), reading


def test_the_battery_drains_and_charges() -> None:
    """A robot works until its battery is low, then charges until it is nearly full."""
    readings = SimulatedReadings(Random(1))  # noqa: S311 - likewise
    charge = [readings.next(10)["battery_percentage"] for _ in range(1_000)]
    assert min(charge) < 20
    assert max(charge[100:]) > 90


def test_the_same_seed_gives_the_same_readings() -> None:
    """A simulation can be repeated."""
    one, other = (SimulatedReadings(Random("robot_001")) for _ in range(2))  # noqa: S311 - likewise
    assert [one.next(1) for _ in range(20)] == [other.next(1) for _ in range(20)]
