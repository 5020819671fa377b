"""The board in a real Firefox, over WebDriver BiDi: another engine runs the same page."""

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from charter_otel.service.app import create_app
from charter_otel.service.settings import Settings
from support import require
from support.robots import READING
from support.servers import serving

PROGRAM = shutil.which("firefox-esr") or shutil.which("firefox")
WITHIN = 30.0
SEES = """new Promise((done) => {
  const shown = (text) => document.body.innerText.includes(text);
  const look = () => ["live", "picker-7", "78 %"].every(shown) ? done(true) : setTimeout(look, 100);
  look();
})"""


class Window:
    """A window of the browser, and what its console complained about."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.context = ""

    async def command(self, method: str, **params: Any) -> Any:
        """Send a command, and return its result."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async for text in self._socket:
            message = json.loads(text)
            if message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]
            if message.get("params", {}).get("level") in {"error", "warn"}:
                self.complaints.append(message["params"]["text"])
        raise AssertionError(method)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = await self.command(
            "script.evaluate",
            expression=expression,
            target={"context": self.context},
            awaitPromise=True,
        )
        return answer["result"].get("value")


@asynccontextmanager
async def window(home: Path) -> AsyncIterator[Window]:
    """Run Firefox with an empty profile and one window."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        *("--headless", "--no-remote", "--profile", str(home), "--remote-debugging-port", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        address = ""
        async with asyncio.timeout(WITHIN):
            while not address.startswith("ws://"):
                line = await process.stderr.readline()
                assert line, "Firefox ended"
                address = line.decode().rpartition(" ")[2].strip()
        async with connect(f"{address}/session", max_size=None) as socket:
            opened = Window(socket)
            await opened.command("session.new", capabilities={})
            await opened.command("session.subscribe", events=["log.entryAdded"])
            tree = await opened.command("browsingContext.getTree")
            opened.context = tree["contexts"][0]["context"]
            yield opened
            await opened.command(
                "browsingContext.navigate", context=opened.context, url="about:blank"
            )
    finally:
        process.kill()
        await process.wait()


async def test_firefox_shows_what_happens(tmp_path: Path) -> None:
    """A robot and its readings, without a reload, and without a word in the console."""
    require("firefox", available=PROGRAM is not None, reason="no Firefox; install firefox-esr")
    async with (
        serving(create_app(Settings(aggregation_interval=60))) as address,
        window(tmp_path) as firefox,
        connect(f"ws://{address}/api/telemetry/ws/picker-7") as robot,
    ):
        url = f"http://{address}/"
        await firefox.command(
            "browsingContext.navigate", context=firefox.context, url=url, wait="complete"
        )
        await robot.send(READING)
        async with asyncio.timeout(WITHIN):
            assert await firefox.evaluate(SEES)
        assert firefox.complaints == []
