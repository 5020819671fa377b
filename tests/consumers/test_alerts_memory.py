"""Bounds on the pages' memory: of the process, and of the state for the next holder."""

import pytest

from charter_otel.charter import Event, EventType, create
from charter_otel.consumers.alerts import Incidents, incidents
from charter_otel.consumers.alerts.losses import Losses
from charter_otel.consumers.alerts.memory import Failures, Memory
from charter_otel.thresholds import Thresholds
from consumers.conftest import Make


def _simulated(robot_id: str) -> Event:
    return create(
        EventType.TELEMETRY_CONNECTION_ESTABLISHED,
        {
            "robot_id": robot_id,
            "connection_id": f"ws_{robot_id}_1703001234_sim7d2f3b18",
            "connected_at": 1000.0,
        },
    )


def test_robots_beyond_100_000_are_forgotten_first_come_first_gone() -> None:
    """Ids that a stranger makes up do not fill the memory."""
    losses = Losses(Thresholds())
    for number in range(100_001):
        losses.lost(f"robot_{number}", 0.0)
    assert losses.at_once(0.0) == 100_000


def test_a_loss_counts_for_a_minute() -> None:
    """Robots that were lost before that do not count among those lost at once."""
    losses = Losses(Thresholds())
    losses.lost("robot_001", 0.0)
    assert [losses.at_once(at) for at in (59.9, 60.0)] == [1, 0]


def test_jobs_beyond_100_000_are_forgotten_first_come_first_gone() -> None:
    """The failures of all others count on."""
    failures = Failures(Thresholds())
    for number in range(100_001):
        failures.count(f"job_{number}", 0.0)
    assert failures.count("job_100000", 1.0) == 2
    assert failures.count("job_0", 1.0) == 1


def test_simulated_robots_beyond_the_bound_are_taken_for_real_ones(
    published: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page too many is better than a memory without an end."""
    monkeypatch.setattr(incidents, "MAX_KEYS", 2)
    judge = Incidents()
    for robot_id in ("one", "two", "three"):
        judge.handle(_simulated(robot_id), 0.0)
    pages = {name: judge.handle(published(name, battery=1.0), 1.0) for name in ("two", "three")}
    assert {name: len(each) for name, each in pages.items()} == {"two": 0, "three": 1}


def test_the_next_holder_gets_a_thousand_of_each_kind() -> None:
    """The robots that were lost last, and those that disconnect most often."""
    losses, failures, memory = Losses(Thresholds()), Failures(Thresholds()), Memory()
    for number in (0, *range(1_001)):
        losses.lost(f"robot_{number}", 0.0)
        losses.flaps(f"robot_{number}", 0.0)
        failures.count(f"job_{number}", 0.0)
    losses.remember(memory, 1.0)
    memory.failures = failures.ages(1.0)
    newest = {f"robot_{number}" for number in range(1, 1_001)}
    assert set(memory.missing) == memory.recent.keys() == newest
    assert memory.failures.keys() == {f"job_{number}" for number in range(1, 1_001)}
    assert len(memory.penalties) == 1_000
    assert "robot_0" in memory.penalties, "it disconnected twice"
