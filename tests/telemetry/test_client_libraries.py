"""The close codes that the robots' page promises, as client libraries see them."""

import asyncio
import functools
import importlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from charter_otel import tokens
from charter_otel.charter import CloseReason
from charter_otel.telemetry import Limits, session
from charter_otel.telemetry.readings import take_reading
from support import require
from support.browser import find_chromium, tab
from support.node import installed
from support.polling import eventually
from support.robots import READING, Robots

SECRET = "s" * 32
NO_UTF_8 = b"\xff\xfe"
NODE_WS = "ws@8.23.0"


class Case(NamedTuple):
    """A robot's frames and the end of its connection."""

    code: int
    reason: str
    text: str = READING
    times: int = 1
    kind: str = "text"
    """``text``, ``ping``, or ``garbled``: a text frame that is not UTF-8."""


CASES = {
    "sends-too-much": Case(1009, "message_too_big", "x" * 70_000),
    "floods": Case(4429, "rate_limited", times=100),
    "floods-pings": Case(4429, "rate_limited", "", 4_000, "ping"),
    "errs": Case(1008, "protocol_error", "{", 10),
    "garbles": Case(1007, "protocol_error", kind="garbled"),
    "comes-twice": Case(4409, "superseded"),
    "is-silent": Case(4408, "heartbeat_timeout", times=0),
    "expires": Case(4401, "token_expired"),
    "is-released": Case(1012, "server_shutdown"),
    "meets-a-fault": Case(1011, "server_error"),
}
"""By the robot's id."""


class Play(NamedTuple):
    """One connection of a library."""

    url: str
    protocols: list[str]
    kind: str
    text: str
    times: int


class Seen(NamedTuple):
    """A close frame as the library shows it."""

    code: int
    text: str


Library = Callable[[list[Play]], Awaitable[list[Seen]]]


def _one_by_one(play: Callable[[Play], Awaitable[Seen]]) -> Library:
    """Return a library that runs a coroutine for each connection, all at the same time."""

    @functools.wraps(play)
    async def run(plays: list[Play]) -> list[Seen]:
        return list(await asyncio.gather(*map(play, plays)))

    return run


def _imported(module: str, group: str) -> Any:
    require(
        module,
        available=find_spec(module) is not None,
        reason=f"the package is missing; pip install --group {group}",
    )
    return importlib.import_module(module)


@_one_by_one
async def _websockets(play: Play) -> Seen:
    protocols = [Subprotocol(name) for name in play.protocols]
    async with connect(play.url, subprotocols=protocols, ping_interval=None) as client:
        try:
            for _ in range(play.times):
                if play.kind == "ping":
                    await client.ping()
                else:
                    garbled = play.kind == "garbled"
                    await client.send(NO_UTF_8 if garbled else play.text, text=True)
            while True:
                await client.recv()
        except ConnectionClosed:
            return Seen(client.close_code or 0, client.close_reason or "")


@_one_by_one
async def _websocket_client(play: Play) -> Seen:
    return await asyncio.to_thread(_in_a_thread, _imported("websocket", "dev"), play)


def _in_a_thread(websocket: Any, play: Play) -> Seen:
    client = websocket.create_connection(play.url, subprotocols=play.protocols, timeout=20)
    try:
        for _ in range(play.times):
            if play.kind == "ping":
                client.ping()
            else:
                client.send(
                    NO_UTF_8 if play.kind == "garbled" else play.text, websocket.ABNF.OPCODE_TEXT
                )
        while True:
            opcode, data = client.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return Seen(int.from_bytes(data[:2], "big"), data[2:].decode())
    finally:
        client.shutdown()  # after a close frame its close() leaves the socket open


@_one_by_one
async def _aiohttp(play: Play) -> Seen:
    aiohttp = _imported("aiohttp", "dev")
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(play.url, protocols=play.protocols) as client,
    ):
        for _ in range(play.times):
            if play.kind == "ping":
                await client.ping()
            elif play.kind == "garbled":
                await client.send_frame(NO_UTF_8, aiohttp.WSMsgType.TEXT)
            else:
                await client.send_str(play.text)
        while (message := await client.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return Seen(message.data, message.extra)


@_one_by_one
async def _picows(play: Play) -> Seen:
    picows = _imported("picows", "bench")
    headers = {"Sec-WebSocket-Protocol": ", ".join(play.protocols)}
    transport, _ = await picows.ws_connect(picows.WSListener, play.url, extra_headers=headers)
    for _ in range(play.times):
        if play.kind == "ping":
            transport.send_ping(b"")
        else:
            text = NO_UTF_8 if play.kind == "garbled" else play.text.encode()
            transport.send(picows.WSMsgType.TEXT, text)
    await transport.wait_disconnected()
    received = transport.close_handshake.recv
    return Seen(int(received.code), received.reason)


PROGRAM = """
  const play = ({ url, protocols, kind, text, times }) => new Promise((seen) => {
    const socket = new WebSocket(url, protocols);
    socket.onopen = () => {
      for (let n = 0; n < times; n++) {
        if (kind === "ping") socket.ping("");
        else if (kind === "garbled") socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
        else socket.send(text);
      }
    };
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => seen([code, reason]);
  });
  const plays = (all) => Promise.all(all.map(play));
"""
"""The same for Node, for its `ws`, and for a browser."""


async def _node(plays: list[Play], prologue: str = "", *options: str) -> list[Seen]:
    require("node", available=shutil.which("node") is not None, reason="install Node.js")
    given = json.dumps([play._asdict() for play in plays])
    process = await asyncio.create_subprocess_exec(
        *("node", *options, "--input-type=commonjs", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    program = f"{prologue}{PROGRAM}plays({given}).then((all) => console.log(JSON.stringify(all)))"
    output, _ = await process.communicate(program.encode())
    return [Seen(*seen) for seen in json.loads(output)]


async def _nodes_own(plays: list[Play]) -> list[Seen]:
    # Node 20 has its WebSocket behind an option.
    return await _node(plays, "", "--experimental-websocket")


async def _ws(plays: list[Play]) -> list[Seen]:
    folder = await asyncio.to_thread(installed, "ws", NODE_WS)
    module = json.dumps(str(folder / "node_modules" / "ws"))
    return await _node(plays, f"const WebSocket = require({module});")


async def _chromium(plays: list[Play]) -> list[Seen]:
    require(
        "chromium",
        available=find_chromium() is not None,
        reason="there is no Chromium; install the package chromium",
    )
    given = json.dumps([play._asdict() for play in plays])
    async with tab() as page:
        # Pages of another origin are refused.
        await page.goto(plays[0].url.replace("ws://", "http://").partition("/ws/")[0] + "/robots")
        return [Seen(*seen) for seen in await page.evaluate(f"{PROGRAM}; plays({given})")]


SEND_ANYTHING: list[Library] = [_websockets, _websocket_client, _aiohttp, _picows, _ws]
SEND_TEXT: list[Library] = [_nodes_own, _chromium]


@pytest.fixture
async def served(own: Robots, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Robots]:
    """Yield a service that ends the connections of some robots as their ids say."""

    def take(robot: Any, frame: Any, connection: Any) -> str:
        if connection.robot_id == "meets-a-fault":
            raise ZeroDivisionError
        if connection.robot_id == "is-released":
            connection.end(CloseReason.SERVER_SHUTDOWN)
        if connection.robot_id == "expires":
            connection.expire_at(time.time())
        return take_reading(robot, frame, connection)

    async def supersede() -> None:
        await eventually(lambda: "comes-twice" in _ids(own), "the robot is there", 60)
        newer = await own.connect(
            "comes-twice", subprotocols=[Subprotocol(name) for name in _protocols("comes-twice")]
        )
        await newer.close()

    monkeypatch.setattr(session, "take_reading", take)
    own.gateway.secrets = (SECRET,)
    own.gateway.limits = Limits(heartbeat_timeout=2.5)
    superseding = asyncio.create_task(supersede())
    yield own
    superseding.cancel()
    await asyncio.wait({superseding})


def _ids(robots: Robots) -> set[object]:
    return {event.payload["robot_id"] for event in robots.established}


def _protocols(robot_id: str) -> list[str]:
    return ["charter", f"bearer.{tokens.sign(SECRET, robot_id, lifetime=600)}"]


@pytest.mark.parametrize(
    "library", [*SEND_ANYTHING, *SEND_TEXT], ids=lambda library: library.__name__.strip("_")
)
async def test_a_library_sees_each_close_code(served: Robots, library: Library) -> None:
    """It is the code of the reason that the service tells of, also with frames under way."""
    cases = {
        robot_id: case
        for robot_id, case in CASES.items()
        if library in SEND_ANYTHING or case.kind == "text"
    }
    plays = [
        Play(
            f"ws://{served.address}/api/telemetry/ws/{robot_id}",
            _protocols(robot_id),
            *(case.kind, case.text, case.times),
        )
        for robot_id, case in cases.items()
    ]
    seen = dict(zip(cases, await library(plays), strict=True))
    assert {robot_id: close.code for robot_id, close in seen.items()} == {
        robot_id: case.code for robot_id, case in cases.items()
    }
    assert seen["is-released"].text.startswith("server_shutdown; come back in ")
    closings = await served.closings(len(cases) + 1)
    told = {(closed.payload["robot_id"], closed.payload["reason"]) for closed in closings}
    assert told == {
        ("comes-twice", "client_disconnect"),
        *((robot_id, case.reason) for robot_id, case in cases.items()),
    }
