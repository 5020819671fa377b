"""Robots' frames, their answers, and what others read of them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import NotFoundException, ValidationException

from charter_otel.charter import CloseReason
from charter_otel.telemetry import BadFrame, Connection, Fleet, Frame, Ping, frames
from charter_otel.telemetry.frames import NewToken, ReadingList
from charter_otel.telemetry.labels import AllowedLabels
from charter_otel.telemetry.readings import take_reading
from charter_otel.telemetry.router import get_robot_metrics, get_robots
from support.polling import eventually
from support.robots import READING, Robots

percent = st.floats(0, 100)
readings = st.fixed_dictionaries(
    {
        "cpu_usage": percent,
        "memory_usage": percent,
        "battery_percentage": percent,
        "network_latency_ms": st.floats(0, 1e12),
    },
    optional={"timestamp": st.floats(0, 1e11, exclude_max=True), "firmware": st.text()},
)


@given(readings)
def test_any_reading_within_the_limits_is_taken(reading: dict[str, Any]) -> None:
    """Unknown fields are ignored, known ones kept exactly."""
    frame = frames.parse(json.dumps(reading))
    assert isinstance(frame, Frame)
    assert all(getattr(frame, name) == reading[name] for name in reading if name != "firmware")


@given(readings, st.sampled_from(["cpu_usage", "memory_usage", "battery_percentage"]), st.data())
def test_a_value_out_of_range_is_named(
    reading: dict[str, Any], field: str, data: st.DataObject
) -> None:
    """The robot learns which field is wrong."""
    wrong = st.floats(100, exclude_min=True, allow_infinity=False) | st.text() | st.none()
    reading[field] = data.draw(wrong | st.floats(max_value=-1e-9, allow_infinity=False))
    bad = frames.parse(json.dumps(reading))
    assert isinstance(bad, BadFrame)
    assert bad.code == "invalid_reading"
    assert field in bad.detail


@given(st.binary() | st.text())
def test_no_frame_can_raise(data: bytes | str) -> None:
    """Any frame of a robot is a reading, a list, a ping, a token or a bad frame."""
    assert isinstance(frames.parse(data), Frame | ReadingList | Ping | NewToken | BadFrame)


@pytest.mark.parametrize(
    "data", ["[" * 100_000, '{"a":' * 100_000, '{"cpu_usage":1e999}', b"\xff", "\ud800", "NaN", ""]
)
def test_hostile_json_is_a_bad_frame(data: str | bytes) -> None:
    """Deep nesting, infinite numbers and broken text get an answer like any other bad frame."""
    bad = frames.parse(data)
    assert isinstance(bad, BadFrame)
    assert json.loads(frames.error(bad))["error"]["code"] == bad.code


@pytest.mark.parametrize(
    ("frame", "code", "detail"),
    [
        ('{"type":"hello"}', "unknown_type", 'type: "hello" is unknown'),
        ('{"type":"hello","cpu_usage":1}', "invalid_reading", "memory_usage: the field is missing"),
        ("{}", "invalid_reading", "cpu_usage: the field is missing"),
        ('{"cpu_usage":"x"}', "invalid_reading", "cpu_usage: expected a number, got a string"),
        ('{"cpu_usage":101}', "invalid_reading", "cpu_usage: expected a number from 0 to 100"),
        ("3", "invalid_reading", "expected an object, got a number"),
        (READING[:-1] + ',"timestamp":1703001240000}', "invalid_reading", "milliseconds"),
        (READING[:-1] + ',"timestamp":-1}', "invalid_reading", "timestamp: expected Unix seconds"),
        ('{"type":"token"}', "invalid_token", "token: the field is missing"),
        ("{", "invalid_json", "the frame is not JSON"),
    ],
)
def test_an_error_says_what_is_wrong_in_the_words_of_json(
    frame: str, code: str, detail: str
) -> None:
    """A firmware engineer knows numbers, strings and objects, not Python's types."""
    bad = frames.parse(frame)
    assert isinstance(bad, BadFrame)
    assert bad.code == code
    assert detail in bad.detail


async def test_a_ping_gets_a_pong(robots: Robots) -> None:
    """The application's own ping works through any proxy."""
    client = await robots.connect()
    await client.send('{"type": "ping", "extra": 1}')
    assert await client.recv() == '{"type":"pong"}'


async def test_readings_are_acknowledged_only_where_the_robot_asks(robots: Robots) -> None:
    """With ``?ack=1`` each reading gets its number; without it a reading gets nothing."""
    quiet = await robots.connect("robot_1")
    asking = await robots.connect("robot_2", query="?ack=1")
    for client in (quiet, asking):
        await client.send(READING)
        await client.send(READING)
        await client.send('{"type":"ping"}')
    assert json.loads(await quiet.recv()) == {"type": "pong"}
    assert [json.loads(await asking.recv()) for _ in range(3)] == [
        {"type": "ack", "n": 1},
        {"type": "ack", "n": 2},
        {"type": "pong"},
    ]


async def test_a_binary_frame_may_hold_the_reading(robots: Robots) -> None:
    """Robots that send JSON as binary frames are understood."""
    client = await robots.connect()
    await client.send(READING.encode())
    await eventually(lambda: robots.gateway.connections.frames["reading"], "the reading")


async def test_a_bad_frame_changes_nothing(robots: Robots) -> None:
    """The error names code and field; the last reading stays."""
    client = await robots.connect()
    await client.send(READING)
    await client.send(READING.replace("45.2", "145.2"))
    answer = json.loads(await client.recv())
    assert answer["error"]["code"] == "invalid_reading"
    assert "cpu_usage" in answer["error"]["detail"]
    assert (await get_robot_metrics("robot_001"))["cpu_usage"] == 45.2


async def test_the_last_reading_is_read_and_published(robots: Robots) -> None:
    """The REST handler gives the readings and emits them."""
    client = await robots.connect()
    await client.send(READING)
    await eventually(lambda: robots.gateway.connections.frames["reading"], "the reading")
    metrics = await get_robot_metrics("robot_001")
    assert set(metrics) == {"robot_id", "updated_at", *json.loads(READING)}
    (published,) = robots.stream.of("telemetry.metrics_published")
    assert published.payload["metrics"] == json.loads(READING)


async def test_publishing_readings_may_be_switched_off(robots: Robots) -> None:
    """The specification makes the event optional."""
    robots.gateway.metrics_published = False
    client = await robots.connect()
    await client.send(READING)
    await eventually(lambda: robots.gateway.connections.frames["reading"], "the reading")
    await get_robot_metrics("robot_001")
    assert robots.stream.of("telemetry.metrics_published") == []


async def test_an_unknown_robot_is_not_found(robots: Robots) -> None:
    """A robot that never sent a reading has no metrics, and there is no event."""
    with pytest.raises(NotFoundException):
        await get_robot_metrics("robot_404")
    await robots.connect("robot_1")
    with pytest.raises(NotFoundException):
        await get_robot_metrics("robot_1")
    with pytest.raises(ValidationException, match="1 to 64 of A-Z"):
        await get_robot_metrics("no robot")
    assert robots.stream.of("telemetry.metrics_published") == []


async def test_presence_lists_robots_online_and_offline(robots: Robots) -> None:
    """Each known robot is online with its connection, or offline with the reason."""
    here = await robots.connect("robot_1")
    gone = await robots.connect("robot_2")
    await gone.close()
    await robots.closings()
    await here.send(READING)
    await eventually(lambda: robots.gateway.connections.frames["reading"], "the reading")
    first, second = await get_robots()
    assert first["status"] == "online"
    assert (first["last_seen_at"] or 0) >= (first["connected_at"] or 0) > 0
    assert (first["disconnected_at"], first["last_reason"]) == (None, None)
    assert second["status"] == "offline"
    assert second["last_reason"] == "client_disconnect"
    assert (second["disconnected_at"] or 0) >= (second["connected_at"] or 0) > 0


async def test_gauges_follow_the_connections(robots: Robots) -> None:
    """Active connections, robots by presence and readings are read where they are kept."""
    client = await robots.connect("robot_1")
    await client.send(READING)
    await eventually(lambda: robots.gateway.connections.frames["reading"], "the reading")
    assert _value(robots, "charter.connection.active") == {(): 1}
    assert _value(robots, "charter.robot.online") == {("robot_1",): 1}
    assert _value(robots, "charter.robot.battery.charge") == {("robot_1",): pytest.approx(0.78)}
    assert _value(robots, "charter.robot.network.latency") == {("robot_1",): pytest.approx(0.0125)}
    await client.close()
    await robots.closings()
    assert _value(robots, "charter.connection.active") == {(): 0}
    assert _value(robots, "charter.robot.count") == {("online",): 0, ("offline",): 1}
    assert _value(robots, "charter.robot.battery.charge") == {}


def test_the_fleet_forgets_the_robot_that_is_offline_longest() -> None:
    """The number of known robots is bounded, and one that is online is never forgotten."""
    fleet = Fleet(capacity=3)
    connections = [Connection(f"robot_{n}") for n in range(4)]
    for connection in connections[:3]:
        fleet.connected(connection)
    for n in (1, 0):
        fleet.disconnected(connections[n], CloseReason.CLIENT_DISCONNECT, 1.0)
    fleet.connected(connections[3])
    assert [robot.robot_id for robot in fleet] == ["robot_0", "robot_2", "robot_3"]


def test_a_late_close_never_marks_a_live_robot_offline() -> None:
    """The close of an old connection leaves the newer one's presence alone."""
    fleet = Fleet()
    old, new = Connection("robot_1"), Connection("robot_1")
    fleet.connected(old)
    robot = fleet.connected(new)
    fleet.disconnected(old, CloseReason.CONNECTION_LOST, 1.0)
    assert robot.online
    take_reading(
        robot, Frame(cpu_usage=1, memory_usage=1, network_latency_ms=1, battery_percentage=1), new
    )
    assert not math.isnan(robot.metrics()["cpu_usage"])


def _left(**changed: Any) -> dict[str, Any]:
    connection = {"connection_id": "ws_robot_1_1_abc", "connected_at": 1.0, "last_seen_at": 2.0}
    left = {"disconnected_at": 2.0, "last_reason": "server_lost"}
    return {"robot_id": "robot_1", **connection, **left, **changed}


@pytest.mark.parametrize("wrong", [{"last_reason": "of a newer version"}, {"disconnected_at": ...}])
def test_a_presence_that_makes_no_sense_leaves_no_robot(wrong: dict[str, Any]) -> None:
    """It would count as online for ever."""
    fleet = Fleet()
    presence = {name: value for name, value in _left(**wrong).items() if value is not ...}
    with pytest.raises((KeyError, ValueError)):
        fleet.adopt(presence)
    assert len(fleet) == 0


def test_an_adopted_robot_has_the_labels_that_are_allowed() -> None:
    """Those of another instance may be others, or too many."""
    fleet = Fleet(labels=AllowedLabels(["site"]))
    fleet.adopt(_left(labels={"site": "berlin", "model": "x"}))
    [robot] = fleet
    assert robot.labels == {"charter.robot.label.site": "berlin"}
    assert robot.labels in fleet.labels.seen


def _value(robots: Robots, metric: str) -> dict[tuple[Any, ...], float]:
    return {
        tuple(value for _, value in sorted(key)): point.value
        for key, point in robots.metric(metric).items()
    }
