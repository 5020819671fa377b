"""The clients that the robots' page gives away: they come back, renew, and stop when told to."""

import asyncio
import importlib.util
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from charter_otel import tokens
from charter_otel.charter import CloseReason
from charter_otel.telemetry import clients
from charter_otel.telemetry.draining import release
from support.polling import eventually
from support.robots import READING, Robots, connected_robots

SECRET = "s" * 32
CLIENTS = Path(next(iter(clients.__path__)))
PROGRAM = """
import {{ live }} from {module};
const read = () => ({reading});
live({url}, read, {{ token: () => {token}, renew: 300 }}).catch((error) => {{
  console.log(error.message);
  process.exit(3);
}});
"""
"""Node 20 has its WebSocket behind an option."""


@pytest.fixture
async def robots() -> AsyncIterator[Robots]:
    """Yield a gateway that asks for tokens."""
    async with connected_robots("websockets-sansio") as robots:
        robots.gateway.secrets = (SECRET,)
        yield robots


def _token() -> str:
    return tokens.sign(SECRET, "robot_1", lifetime=600)


@asynccontextmanager
async def _python(url: str) -> AsyncIterator["asyncio.Task[Any]"]:
    specification = importlib.util.spec_from_file_location("robot", CLIENTS / "robot.py")
    assert specification
    assert specification.loader
    robot = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(robot)
    task = asyncio.create_task(robot.live(url, lambda: json.loads(READING), _token, renew=0.3))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def _javascript(url: str) -> AsyncIterator["asyncio.Task[Any]"]:
    program = PROGRAM.format(
        module=json.dumps((CLIENTS / "robot.mjs").as_uri()),
        reading=READING,
        url=json.dumps(url),
        token=json.dumps(_token()),
    )
    process = await asyncio.create_subprocess_exec(
        *("node", "--experimental-websocket", "--input-type=module", "--eval", program),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield asyncio.create_task(process.communicate())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


CLIENT = pytest.mark.parametrize(
    "client",
    [
        pytest.param(_python, id="python"),
        pytest.param(
            _javascript,
            id="javascript",
            marks=pytest.mark.skipif(shutil.which("node") is None, reason="there is no node"),
        ),
    ],
)


@CLIENT
async def test_a_client_comes_back_renews_its_token_and_stops(robots: Robots, client: Any) -> None:
    """After a shutdown it is back when it was told; a second robot of its id ends it."""
    url = f"ws://{robots.address}/api/telemetry/ws/robot_1"
    counts = robots.gateway.connections
    async with client(url) as running:
        await eventually(lambda: counts.frames["token"] and counts.readings["new"] > 1, "it talks")
        await release(robots.gateway, 0, deadline=2)
        known = counts.readings["new"]
        await eventually(lambda: len(robots.established) == 2, "it is back")
        await eventually(lambda: counts.readings["new"] > known, "it goes on")
        assert not counts.readings["late"]
        assert not counts.readings["refused"]
        (connection,) = robots.gateway.connections
        connection.end(CloseReason.SUPERSEDED)
        await asyncio.wait({running}, timeout=5)
        assert running.done()
        if client is _python:
            assert isinstance(running.exception(), ConnectionClosed)
        else:
            assert b"closed with 4409: superseded" in running.result()[0]


@CLIENT
async def test_a_client_sends_what_it_kept_while_it_was_away(robots: Robots, client: Any) -> None:
    """Refused for some seconds, it sends the readings of that time as a list, each once."""
    url = f"ws://{robots.address}/api/telemetry/ws/robot_1"
    counts = robots.gateway.connections
    robots.gateway.closing = True
    async with client(url):
        await asyncio.sleep(3)
        robots.gateway.closing = False
        await eventually(lambda: counts.readings["new"] >= 3, "the backlog", 10)
        assert counts.frames["readings"] < counts.readings["new"]
