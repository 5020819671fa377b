"""Conditions of robots: exact counts, hysteresis, the worst first."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from charter_otel.charter import CloseReason
from charter_otel.otel import build, semconv
from charter_otel.otel.instruments import Instruments
from charter_otel.telemetry import gauges
from charter_otel.telemetry.conditions import Conditions
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Fleet, Robot
from charter_otel.telemetry.frames import Frame
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.readings import take_reading


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        """Return its time, a little later each time it is asked."""
        self.now += 1
        return self.now


def reading(battery: float = 80, cpu: float = 30) -> Frame:
    """Return a reading."""
    return Frame(cpu_usage=cpu, memory_usage=50, network_latency_ms=5, battery_percentage=battery)


def take(robot: Robot, frame: Frame) -> None:
    """Take a reading that comes over the robot's connection."""
    assert robot.connection is not None
    take_reading(robot, frame, robot.connection)


def connected(fleet: Fleet, robot_id: str, frame: Frame | None = None) -> Connection:
    """Return a new connection of a robot that has sent a reading."""
    connection = Connection(robot_id)
    take_reading(fleet.connected(connection), frame or reading(), connection)
    return connection


def test_a_battery_that_wavers_around_the_limit_stays_low() -> None:
    """It is low below 20 %, and well again from 25 % on."""
    fleet = Fleet()
    conditions = Conditions(fleet, Clock())
    robot = fleet.connected(Connection("robot_001"))
    seen = []
    for battery in (20, 19.9, 20.1, 24.9, 25, 24.9, 20, 19):
        take(robot, reading(battery))
        seen.append(len(conditions.look()["low_battery"]))
    assert seen == [0, 1, 1, 1, 0, 0, 0, 1]


def test_a_cpu_that_wavers_around_the_limit_stays_high() -> None:
    """It is high above 90 %, and well again at 80 %."""
    fleet = Fleet()
    conditions = Conditions(fleet, Clock())
    robot = fleet.connected(Connection("robot_001"))
    seen = []
    for cpu in (90, 90.1, 89, 80.1, 80, 85):
        take(robot, reading(cpu=cpu))
        seen.append(len(conditions.look()["high_cpu"]))
    assert seen == [0, 1, 1, 1, 0, 0]


def test_a_robot_that_comes_and_goes_flaps_until_it_has_been_quiet_for_long() -> None:
    """Three disconnects within minutes open the condition, half-lives without any resolve it."""
    fleet, clock = Fleet(), Clock()
    conditions = Conditions(fleet, clock)
    seen = []
    for _ in range(3):
        fleet.disconnected(connected(fleet, "robot_001"), CloseReason.CONNECTION_LOST, 0)
        seen.append(bool(conditions.look()["flapping"]))
    assert seen == [False, False, True]


def test_closes_by_the_service_are_not_flapping() -> None:
    """A robot that each deployment ends, or whose token expires, is steady."""
    fleet = Fleet()
    conditions = Conditions(fleet, Clock())
    for _ in range(9):
        fleet.disconnected(connected(fleet, "robot_001"), CloseReason.SERVER_SHUTDOWN, 0)
        fleet.disconnected(connected(fleet, "robot_001"), CloseReason.TOKEN_EXPIRED, 0)
    assert conditions.look()["flapping"] == {}


def test_two_robots_of_one_id_flap() -> None:
    """They supersede each other for ever, and each end counts."""
    fleet = Fleet()
    conditions = Conditions(fleet, Clock())
    for _ in range(4):
        older = connected(fleet, "robot_001")
        connected(fleet, "robot_001")
        fleet.disconnected(older, CloseReason.SUPERSEDED, 0)
    assert set(conditions.look()["flapping"]) == {"robot_001"}


def test_a_robot_that_left_on_purpose_is_offline_but_not_lost() -> None:
    """Only an end that nobody meant makes a robot lost."""
    fleet = Fleet()
    conditions = Conditions(fleet, Clock())
    fleet.disconnected(connected(fleet, "left"), CloseReason.CLIENT_DISCONNECT, 0)
    fleet.disconnected(connected(fleet, "broke"), CloseReason.CONNECTION_LOST, 0)
    found = conditions.look()
    assert (set(found["offline"]), set(found["lost"])) == ({"left", "broke"}, {"broke"})


def test_robots_that_a_stop_releases_are_not_offline() -> None:
    """The last export of an instance that stops shows no fleet that is gone."""
    fleet = Fleet()
    conditions = Conditions(fleet, Clock())
    fleet.disconnected(connected(fleet, "released"), CloseReason.SERVER_SHUTDOWN, 0)
    found = conditions.look()
    assert (set(found["offline"]), set(found["lost"])) == (set(), set())


def test_one_robot_of_twenty_thousand_has_its_series() -> None:
    """The counts cover all robots; the series go to those in trouble, the worst first."""
    gateway = Gateway()
    for number in range(20_000):
        connected(gateway.fleet, f"robot_{number:05}")
    for name, battery in (("robot_19998", 12.0), ("robot_19999", 15.0)):
        robot = gateway.fleet.get(name)
        assert robot is not None
        take(robot, reading(battery))
    series = _collect(gateway)
    counts = {a["charter.robot.condition"]: n for a, n in series["charter.robot.condition.count"]}
    assert counts == {"low_battery": 2, "high_cpu": 0, "flapping": 0, "offline": 0, "lost": 0}
    charges = series[semconv.CHARTER_ROBOT_BATTERY_CHARGE.name]
    assert [(a["charter.robot.id"], n) for a, n in charges[:2]] == [
        ("robot_19998", 0.12),
        ("robot_19999", 0.15),
    ]
    robots = [points for points in series.values() if "charter.robot.id" in points[0][0]]
    assert len(robots) == 5
    assert sum(map(len, robots)) == 5_000


def test_readings_are_shares_and_seconds() -> None:
    """Metrics have OpenTelemetry's units, whatever a reading's are."""
    gateway = Gateway()
    connected(gateway.fleet, "robot_001")
    series = _collect(gateway)
    readings = {name: points[0][1] for name, points in series.items() if "robot.id" in str(points)}
    assert readings == {
        "charter.robot.online": 1,
        "charter.robot.cpu.utilization": 0.3,
        "charter.robot.memory.utilization": 0.5,
        "charter.robot.battery.charge": 0.8,
        "charter.robot.network.latency": 0.005,
    }


def test_more_trouble_than_series_is_reported() -> None:
    """The counts stay exact; how many have no series of their own is a metric."""
    gateway = Gateway()
    for number in range(1_007):
        connected(gateway.fleet, f"robot_{number:05}", reading(battery=10))
    series = _collect(gateway)
    omitted = {a["charter.robot.condition"]: n for a, n in series["charter.robot.omitted"]}
    assert (omitted["low_battery"], omitted["high_cpu"]) == (7, 0)
    assert len(series[semconv.CHARTER_ROBOT_BATTERY_CHARGE.name]) == 1_000


def test_a_robot_that_gets_into_trouble_later_has_its_series(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a full process: the SDK has a limit, and makes room for it."""
    monkeypatch.setattr("charter_otel.telemetry.conditions.FRESH", 0.0)
    gateway, reader = Gateway(), InMemoryMetricReader()
    provider = build(metric_readers=[reader])
    gauges.observe(provider.instrumentation().instruments, gateway)
    for number in range(2_000):
        connected(gateway.fleet, f"robot_{number:05}")
    for number in (1_500, 1_600, 1_700):
        name = f"robot_{number:05}"
        _charges(reader)
        robot = gateway.fleet.get(name)
        assert robot is not None
        take(robot, reading(battery=12 - number / 1_000))
        charges = _charges(reader)
        assert len(charges) == 1_000
        assert name in charges


def _charges(reader: InMemoryMetricReader) -> set[str]:
    """Return the robots whose charge is collected; an empty name where the SDK had no room."""
    data = reader.get_metrics_data()
    assert data is not None
    return {
        str((point.attributes or {}).get("charter.robot.id", ""))
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == semconv.CHARTER_ROBOT_BATTERY_CHARGE.name
        for point in metric.data.data_points
    }


def _collect(gateway: Gateway) -> dict[str, list[tuple[dict[str, str], float]]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    gauges.observe(Instruments(provider.get_meter("test")), gateway)
    data = reader.get_metrics_data()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    return {
        metric.name: [
            ({key: str(value) for key, value in (p.attributes or {}).items()}, p.value)
            for p in metric.data.data_points
            if isinstance(p, NumberDataPoint)
        ]
        for metric in metrics
        if metric.data.data_points
    }
