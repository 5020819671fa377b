"""Store and forward: frames that are lists of readings, and what their acknowledgements say."""

import json
import time
from typing import Any

from charter_otel.telemetry import Limits, frames
from charter_otel.telemetry.frames import ReadingList
from charter_otel.telemetry.router import get_robot_metrics
from support.polling import eventually
from support.robots import READING, Robots

BAD = {"cpu_usage": 250}


async def test_a_list_is_acknowledged_with_what_became_of_it(robots: Robots) -> None:
    """``n`` counts the connection's readings; those that are refused are named."""
    client = await robots.connect(query="?ack=1")
    now = time.time()
    await client.send(json.dumps(_readings(now - 3, now - 2, now - 1)))
    assert json.loads(await client.recv()) == {
        "type": "ack",
        "n": 3,
        "new": 3,
        "late": 0,
        "refused": 0,
    }
    mixed: list[Any] = [BAD, *_readings(now, now - 3_600), "x"]
    await client.send(json.dumps(mixed))
    assert json.loads(await client.recv()) == {
        "type": "ack",
        "n": 5,
        "new": 1,
        "late": 1,
        "refused": 2,
        "refused_at": [0, 3],
        "detail": "cpu_usage: expected a number from 0 to 100",
    }
    assert (await get_robot_metrics("robot_001"))["updated_at"] == now
    assert robots.gateway.connections.frames["readings"] == 2
    assert robots.gateway.connections.readings == {"new": 4, "late": 1, "refused": 2}
    points = robots.metric("charter.reading.received")
    assert {dict(key)["charter.reading.outcome"]: p.value for key, p in points.items()} == {
        "new": 4,
        "late": 1,
        "refused": 2,
    }


async def test_a_robot_without_acks_gets_errors(robots: Robots) -> None:
    """The error says how many, which is the first, and why; the others are taken."""
    client = await robots.connect()
    await client.send(json.dumps([*_readings(1.0, 2.0), BAD]))
    error = json.loads(await client.recv())["error"]
    assert error["code"] == "invalid_reading"
    assert error["detail"].startswith("1 of 3 readings are refused; the first, at [2]: cpu_usage")
    assert (await get_robot_metrics("robot_001"))["updated_at"] == 2.0


async def test_a_list_of_nothing_but_bad_readings_is_a_bad_frame(robots: Robots) -> None:
    """It counts among the ten in a row that close the connection."""
    client = await robots.connect(query="?ack=1")
    for _ in range(10):
        await client.send(json.dumps([BAD]))
    (closed,) = await robots.closings()
    assert closed.payload["reason"] == "protocol_error"


async def test_readings_per_second_have_a_limit_of_their_own(robots: Robots) -> None:
    """A list beyond it is refused whole, so that the robot sends it again; it costs one frame."""
    robots.gateway.limits = Limits(max_frames_per_second=5, max_readings_per_second=1_000)
    client = await robots.connect(query="?ack=1")
    listed = json.dumps(_readings(*range(400)))
    for _ in range(3):
        await client.send(listed)
    answers = [json.loads(await client.recv()) for _ in range(3)]
    assert [answer.get("n") for answer in answers] == [400, 800, None]
    assert answers[2]["error"] == {
        "code": "rate_limited",
        "detail": "more than 1000 readings a second",
    }


def test_a_list_has_a_thousand_readings_at_most() -> None:
    """A thousand are taken, one more or none is a bad frame, whatever else is in it."""
    assert isinstance(frames.parse(f"[{','.join([READING] * 1_000)}]"), ReadingList)
    for wrong in ([READING] * 1_001, ["0"] * 1_001, []):
        parsed = frames.parse(f"[{','.join(wrong)}]")
        assert parsed == frames.BadFrame("invalid_reading", "a list has from 1 to 1000 readings")


async def test_a_day_of_readings_is_replayed_while_the_robot_is_live(robots: Robots) -> None:
    """86,400 readings of yesterday are late one by one, and the live value is right throughout."""
    robots.gateway.limits = Limits(max_readings_per_second=1_000_000, max_frames_per_second=1_000)
    client = await robots.connect(query="?ack=1")
    now = time.time()
    await client.send(json.dumps(_readings(now)[0]))
    await client.recv()
    begun = time.process_time()
    late = 0
    for start in range(0, 86_400, 400):
        backlog = _readings(*(now - 90_000 + start + second for second in range(400)))
        await client.send(json.dumps(backlog))
        late += json.loads(await client.recv())["late"]
        assert (await get_robot_metrics("robot_001"))["updated_at"] == now
    assert late == 86_400
    assert time.process_time() - begun < 10
    await eventually(lambda: robots.gateway.connections.readings["late"] == 86_400, "all counted")


async def test_the_age_of_readings_is_recorded(robots: Robots) -> None:
    """A robot whose uplink is slow by a minute shows in the quantiles."""
    for number, age in enumerate((0, 0, 60)):
        client = await robots.connect(f"robot_{number}", query="?ack=1")
        await client.send(json.dumps(_readings(time.time() - age)[0]))
        await client.recv()
    ages = {
        dict(key)["charter.quantile"]: point.value
        for key, point in robots.metric("charter.reading.age").items()
    }
    assert 0 <= ages[0.5] < 10
    assert 60 <= ages[1.0] < 70


def _readings(*timestamps: float) -> list[dict[str, float]]:
    return [{**json.loads(READING), "timestamp": at} for at in timestamps]
