"""From where on something is wrong: one set, changed by one variable."""

import pytest

from charter_otel.thresholds import Flaps, Thresholds, from_environment, parse


def test_the_defaults_are_the_specifications() -> None:
    """5 s, 60 s, 20 % and 90 %."""
    limits = from_environment({})
    assert (limits.slow_job, limits.short_connection) == (5, 60)
    assert (limits.battery_low, limits.cpu_high) == (20, 90)


def test_one_variable_changes_any_of_them() -> None:
    """Names and numbers, separated by commas."""
    limits = parse("battery_low=15, battery_recovered = 18,fleet_robots=3")
    assert limits == Thresholds(battery_low=15, battery_recovered=18, fleet_robots=3)


@pytest.mark.parametrize(
    "wrong",
    ["battery=15", "battery_low", "battery_low=low", "battery_low=120", "fleet_share=1",
     "battery_low=30", "cpu_recovered=95", "flap_resolves=3", "fleet_robots=0"],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_the_variables_name(wrong: str) -> None:
    """An unknown name, a value out of range, and a pair that could never resolve."""
    with pytest.raises(ValueError, match="CHARTER_THRESHOLDS: "):
        from_environment({"CHARTER_THRESHOLDS": wrong})


@pytest.mark.parametrize(
    ("lost", "connected", "wide"),
    [
        (4, 0, False),
        (5, 0, True),
        (5, 495, True),
        (5, 496, False),
        (99, 9_901, False),
        (100, 9_900, True),
    ],
)
def test_a_loss_is_the_fleets_from_a_number_and_a_share_on(
    lost: int, connected: int, *, wide: bool
) -> None:
    """Five robots at least, and one of a hundred that were connected."""
    assert Thresholds().is_fleet_wide(lost, connected) is wide


def test_a_penalty_halves_with_time_and_is_bounded() -> None:
    """However long a robot flaps, it is well again within a few half-lives."""
    flaps, limits = Flaps(600), Thresholds()
    for second in range(1000):
        flaps.add(second)
    assert flaps.penalty(999) == 6
    assert flaps.penalty(999 + 600) == 3
    assert flaps.judge(999 + 600, limits)
    assert flaps.judge(999 + 1799, limits)
    assert not flaps.judge(999 + 1801, limits)
