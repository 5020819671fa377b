"""When robots that are refused or released come back."""

import asyncio
import re
import time

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from charter_otel.telemetry import Limits
from charter_otel.telemetry.draining import release
from charter_otel.telemetry.retry_after import Herd, seconds_to_return
from support.polling import eventually
from support.robots import Robots


def test_a_herd_comes_back_spread_over_what_the_service_can_take() -> None:
    """Ten thousand robots are told moments within about fifty seconds, and none of them a burst."""
    answers = [seconds_to_return(1, 10_000) for _ in range(10_000)]
    assert min(answers) >= 1
    assert 40 <= max(answers) <= 53
    assert max(answers.count(second) for second in set(answers)) < 300


def test_a_single_robot_comes_back_soon() -> None:
    """Without a herd it is the least time, up to twice that."""
    assert {seconds_to_return(5, 1) for _ in range(200)} <= set(range(5, 12))


def test_refusals_are_forgotten() -> None:
    """A robot that was refused minutes ago is back or gone."""
    now = 0.0
    herd = Herd(lambda: now)
    levels = [herd.refused() for _ in range(100)]
    assert levels[-1] == pytest.approx(100)
    now = 300.0
    assert herd.refused() == pytest.approx(1, abs=0.01)


async def test_a_refusal_says_when_to_come_back(robots: Robots) -> None:
    """Each robot is answers another moment, later the more there are."""
    robots.gateway.limits = Limits(max_connections=0)
    answers = set()
    for _ in range(20):
        with pytest.raises(InvalidStatus) as refused:
            await robots.connect()
        answers.add(int(refused.value.response.headers["retry-after"]))
    assert len(answers) > 2
    assert all(5 <= seconds <= 11 for seconds in answers)


async def test_a_shutdown_says_when_to_come_back(robots: Robots) -> None:
    """The close frame's text has the reason first, then the seconds."""
    client = await robots.connect()
    await release(robots.gateway, 0, deadline=2)
    assert re.fullmatch(r"server_shutdown; come back in [12] s", await _close_text(client))


async def test_robots_are_released_in_slices(robots: Robots) -> None:
    """Over the seconds of a drain, each robot closes once, and they do not close in one moment."""
    clients = [await robots.connect(f"robot_{number}") for number in range(20)]
    begun = time.time()
    assert await release(robots.gateway, 2.0, deadline=2)
    closings = [event.timestamp - begun for event in await robots.closings(20)]
    assert min(closings) < 1
    # A slice may come late, but none comes early.
    assert all(at > 0.1 * number - 0.05 for number, at in enumerate(sorted(closings)))
    texts = [await _close_text(client) for client in clients]
    assert all(text.startswith("server_shutdown; ") for text in texts)


@pytest.mark.parametrize(("seconds", "lines"), [(0, 0), (0.1, 1)])
async def test_only_a_drain_has_a_line(robots: Robots, seconds: float, lines: int) -> None:
    """It says how many robots are released, and over how long; at once needs no line."""
    await robots.connect()
    await eventually(lambda: robots.established, "established")
    with capture_logs() as logged:
        await release(robots.gateway, seconds, deadline=2)
    releasing = [line for line in logged if line["event"] == "releasing robots"]
    told = [(line["connections"], line["seconds"]) for line in releasing]
    assert told == [(1, seconds)] * lines


async def _close_text(client: ClientConnection) -> str:
    with pytest.raises(ConnectionClosed) as ended:
        await asyncio.wait_for(client.recv(), 5)
    return ended.value.rcvd.reason if ended.value.rcvd else ""
