"""The clients that the robots' page gives away: they come back, renew, and stop when told to."""

import asyncio
import importlib.util
import json
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
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
LONG_AWAY = """
const soon = setTimeout, now = Date.now, begun = now() - 600_000;
globalThis.setInterval = (record) => {
  for (let second = 0; second < 600; second++) {
    Date.now = () => begun + 1000 * second;
    record();
  }
  Date.now = now;
  globalThis.setInterval = () => undefined;
};
globalThis.setTimeout = (work, pause, ...rest) => {
  if (work.name === "next") console.log(pause);
  return soon(work, pause, ...rest);
};
"""
"""The robot has recorded ten minutes when it connects, and tells its pauses between two lists."""


@pytest.fixture
async def robots() -> AsyncIterator[Robots]:
    """Yield a gateway that asks for tokens."""
    async with connected_robots("websockets-sansio") as robots:
        robots.gateway.secrets = (SECRET,)
        yield robots


def _token() -> str:
    return tokens.sign(SECRET, "robot_1", lifetime=600)


def _robot() -> Any:
    specification = importlib.util.spec_from_file_location("robot", CLIENTS / "robot.py")
    assert specification
    assert specification.loader
    robot = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(robot)
    return robot


@asynccontextmanager
async def _python(url: str) -> AsyncIterator["asyncio.Task[Any]"]:
    robot = _robot()
    task = asyncio.create_task(robot.live(url, lambda: json.loads(READING), _token, renew=0.3))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def _javascript(url: str) -> AsyncIterator["asyncio.Task[Any]"]:
    async with _node(url) as process:
        yield asyncio.create_task(process.communicate())


@asynccontextmanager
async def _node(
    url: str, before: str = "", reading: str = READING
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the client in Node, after a program."""
    program = before + PROGRAM.format(
        module=json.dumps((CLIENTS / "robot.mjs").as_uri()),
        reading=reading,
        url=json.dumps(url),
        token=json.dumps(_token()),
    )
    process = await asyncio.create_subprocess_exec(
        *("node", "--experimental-websocket", "--input-type=module", "--eval", program),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


NODE = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
CLIENT = pytest.mark.parametrize(
    "client",
    [
        pytest.param(_python, id="python"),
        pytest.param(_javascript, id="javascript", marks=NODE),
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


@NODE
async def test_a_long_backlog_of_javascript_goes_without_pauses(robots: Robots) -> None:
    """Likewise from Node or a browser."""
    url = f"ws://{robots.address}/api/telemetry/ws/robot_1"
    counts = robots.gateway.connections
    reading = json.dumps(dict.fromkeys(json.loads(READING), 100 / 3))
    async with _node(url, LONG_AWAY, reading) as process:
        assert process.stdout is not None
        pauses = [await process.stdout.readline() for _ in range(3)]
    assert pauses == [b"0\n", b"0\n", b"500\n"]
    assert (counts.readings["new"], counts.frames["readings"]) == (600, 3)


async def test_a_long_backlog_goes_without_pauses(
    robots: Robots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list fits into a frame, and goes after the answer to the one before."""
    robot, pauses = _robot(), list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not backlog:
            await asyncio.Event().wait()

    monkeypatch.setattr(robot, "asyncio", SimpleNamespace(sleep=sleep))
    precise = dict.fromkeys(json.loads(READING), 100 / 3)
    first = time.time() - 600
    backlog = deque({**precise, "timestamp": first + second} for second in range(600))
    client = await robots.connect(
        "robot_1", query="?ack=1", additional_headers={"Authorization": f"Bearer {_token()}"}
    )
    talk = asyncio.create_task(robot._talk(client, backlog, None, 60))
    await eventually(lambda: not backlog or talk.done(), "all is sent")
    talk.cancel()
    assert pauses == [0, 0, 0.5]
    assert robots.gateway.connections.readings["new"] == 600
