"""Which reading of a robot is the live one, whatever the clocks do."""

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.telemetry import Connection, Fleet, Frame, Robot
from charter_otel.telemetry import readings as module
from charter_otel.telemetry.readings import take_reading, take_readings

NOW = 1_703_001_240.0


@dataclass
class Clocks:
    """The two clocks of this machine, which a test moves."""

    wall: float = NOW
    steady: float = 0.0

    def time(self) -> float:
        """Return Unix seconds."""
        return self.wall

    def monotonic(self) -> float:
        """Return seconds of the monotonic clock."""
        return self.steady

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


@dataclass
class Talking:
    """A robot and what it sends over its connection."""

    robot: Robot
    connection: Connection
    clocks: Clocks

    def send(self, timestamp: float | None, battery: float = 50) -> str:
        """Send a reading, and return what became of it."""
        return take_reading(self.robot, _reading(timestamp, battery), self.connection)

    @property
    def battery(self) -> float:
        """The battery that is live."""
        return self.robot.metrics()["battery_percentage"]


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Return this machine's clocks, in the hands of the test."""
    clocks = Clocks()
    monkeypatch.setattr(module, "time", clocks)
    return clocks


@pytest.fixture
def robot(clocks: Clocks) -> Talking:
    """Return a robot that is connected."""
    connection = Connection("robot_1")
    return Talking(Fleet().connected(connection), connection, clocks)


def test_a_reading_counts_as_of_its_own_time(robot: Talking) -> None:
    """A reading that was measured some seconds ago is shown as of then."""
    assert robot.send(NOW - 5) == "new"
    assert (robot.robot.updated_at, robot.robot.arrived_at) == (NOW - 5, NOW)


def test_the_first_reading_is_live_whatever_its_time(robot: Talking) -> None:
    """A robot without a clock battery begins in 1970."""
    assert robot.send(0.0) == "new"
    assert robot.battery == 50


def test_a_late_reading_changes_nothing(robot: Talking) -> None:
    """A reading of an hour ago leaves values and time as they are."""
    robot.send(NOW - 1, battery=80)
    assert robot.send(NOW - 3_600, battery=11) == "late"
    assert (robot.battery, robot.robot.updated_at) == (80, NOW - 1)


def test_a_reading_of_the_same_moment_is_not_late(robot: Talking) -> None:
    """Robots with whole seconds send several within one: the last of them counts."""
    robot.send(NOW, battery=80)
    assert robot.send(NOW, battery=79) == "new"
    assert robot.battery == 79


@pytest.mark.parametrize(("ahead", "outcome"), [(60, "new"), (60.1, "skewed"), (1e10, "skewed")])
def test_a_reading_from_the_future_counts_as_of_now(
    robot: Talking, ahead: float, outcome: str
) -> None:
    """Up to a minute ahead is a clock's right; beyond it, the next right reading is newer."""
    assert robot.send(NOW + ahead, battery=80) == outcome
    assert robot.robot.updated_at == (NOW + ahead if outcome == "new" else NOW)
    if outcome == "skewed":
        robot.clocks.pass_(1)
        assert robot.send(NOW + 1, battery=79) == "new"
        assert robot.battery == 79


def test_this_machine_s_clock_may_be_set_back(robot: Talking) -> None:
    """Without timestamps, and with a clock that is ahead, the order of arrival decides."""
    for timestamp in (None, NOW + 7_200):
        robot.send(timestamp, battery=80)
        robot.clocks.wall -= 3_600
        assert robot.send(timestamp, battery=70) != "late"
        assert robot.battery == 70


@pytest.mark.parametrize("hz", [1, 0.2, 1 / 30])
def test_a_robot_whose_clock_was_reset_is_live_again_within_a_minute(
    robot: Talking, hz: float
) -> None:
    """Readings that keep pace with time at one offset are live, and counted as skewed."""
    robot.send(NOW, battery=80)
    outcomes = []
    for _ in range(round(90 * hz)):
        robot.clocks.pass_(1 / hz)
        outcomes.append(robot.send(robot.clocks.wall - 1e6, battery=60))
    late = outcomes.index("skewed")
    assert set(outcomes[:late]) == {"late"}
    assert set(outcomes[late:]) == {"skewed"}
    assert (late + 1) / hz <= 60
    assert robot.battery == 60
    assert robot.robot.updated_at == robot.clocks.wall - 1e6
    assert robot.send(robot.clocks.wall) == "new"
    assert robot.send(robot.clocks.wall) == "new"


def test_delays_on_the_way_do_not_keep_a_reset_robot_deaf(robot: Talking) -> None:
    """Whole seconds and a slow network make the offset waver, by less than five seconds."""
    random = Random(7)  # noqa: S311 - delays, not secrets
    robot.send(NOW)
    outcomes = []
    for _ in range(60):
        robot.clocks.pass_(1)
        outcomes.append(robot.send(int(robot.clocks.wall - 3_600 - random.uniform(0, 2))))
    assert "skewed" in outcomes


@pytest.mark.parametrize("speed", [2, 10, 50])
def test_a_backlog_never_becomes_live(robot: Talking, speed: int) -> None:
    """Readings of hours ago that are sent faster than they were recorded stay late."""
    robot.send(NOW, battery=80)
    for second in range(3_600):
        robot.clocks.pass_(1 / speed)
        assert robot.send(NOW - 86_400 + second) == "late"
    assert robot.battery == 80


def test_a_backlog_between_live_readings_never_becomes_live(robot: Talking) -> None:
    """A robot that sends an old reading with each new one has a clock that is right."""
    for second in range(200):
        robot.clocks.pass_(1)
        assert robot.send(robot.clocks.wall, battery=80) == "new"
        assert robot.send(NOW - 3_600 + second) == "late"
    assert robot.battery == 80


def test_a_list_is_taken_by_time_and_not_by_place(robot: Talking) -> None:
    """Its newest reading is live, and what is newer than all before it is not late."""
    robot.send(NOW - 100, battery=80)
    batteries = {NOW - 10: 71, NOW - 99: 79, NOW - 100: 78, NOW - 101: 99, NOW - 50: 75}
    counts = take_readings(
        robot.robot, [_reading(at, battery) for at, battery in batteries.items()], robot.connection
    )
    assert counts == {"new": 4, "late": 1}
    assert (robot.battery, robot.robot.updated_at) == (71, NOW - 10)


def test_a_reset_robot_that_sends_lists_is_live_again(robot: Talking) -> None:
    """The newest reading of each list keeps pace with time, whatever the others are."""
    robot.send(NOW)
    outcomes = []
    for _ in range(4):
        robot.clocks.pass_(20)
        end = robot.clocks.wall - 3_600
        listed = [_reading(end - 20 + second) for second in range(20)]
        outcomes.append(take_readings(robot.robot, listed, robot.connection))
    assert outcomes[0] == {"late": 20}
    assert outcomes[2]["skewed"] == 1
    assert outcomes[3]["late"] == 0
    assert robot.robot.updated_at == robot.clocks.wall - 3_601


@given(st.lists(st.lists(st.integers(-1_000, 60), min_size=1, max_size=8), max_size=8))
def test_the_live_reading_is_the_newest_of_all(lists: list[list[int]]) -> None:
    """In whatever order and lists readings come at once, the newest time is live."""
    connection = Connection("robot_1")
    robot = Fleet().connected(connection)
    known = float("-inf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", Clocks())
        for ages in lists:
            counts = take_readings(robot, [_reading(NOW + age) for age in ages], connection)
            assert counts["late"] == sum(age < known for age in ages)
            known = max(known, *ages)
            assert robot.updated_at == NOW + known


def _reading(timestamp: float | None, battery: float = 50) -> Frame:
    return Frame(
        cpu_usage=30,
        memory_usage=50,
        network_latency_ms=5,
        battery_percentage=battery,
        timestamp=timestamp,
    )
