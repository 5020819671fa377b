"""When robots that are refused or released come back."""

import asyncio
import re
import time

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from charter_otel.telemetry import Limits
from charter_otel.telemetry.draining import release
from charter_otel.telemetry.returning import Herd, seconds_to_return
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
    begun = time.monotonic()
    draining = asyncio.create_task(release(robots.gateway, 1.0, deadline=2))
    await asyncio.sleep(0.5)
    assert 5 <= len(robots.gateway.connections) <= 15
    assert await draining
    assert 0.9 <= time.monotonic() - begun < 2
    await robots.closings(20)
    texts = [await _close_text(client) for client in clients]
    assert all(text.startswith("server_shutdown; ") for text in texts)


async def _close_text(client: ClientConnection) -> str:
    with pytest.raises(ConnectionClosed) as ended:
        await asyncio.wait_for(client.recv(), 5)
    return ended.value.rcvd.reason if ended.value.rcvd else ""
