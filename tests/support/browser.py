"""A real Chromium, driven over its DevTools protocol: what a person with a browser would see."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WITHIN = 20.0

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the tests' own pages only, and containers run as root
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """Return the path of a Chromium, or None where there is none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Tab:
    """A page in the browser, and everything that it asked for and complained about."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        """Errors and warnings of the console, exceptions, and what the policy refused."""
        self.requests: list[str] = []
        """Addresses that the page asked for."""

    async def listen(self) -> None:
        """Take what the browser sends, until the connection ends."""
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._note(message["method"], message.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning"}:
            self.complaints.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(json.dumps(params["entry"]))

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the protocol and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        message = await asyncio.wait_for(answer, WITHIN)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    async def goto(self, url: str) -> None:
        """Open an address, and wait until the page is there."""
        await self.command("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        result = await self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def until(self, expression: str, within: float = WITHIN) -> None:
        """Wait until an expression is true in the page."""
        deadline = asyncio.get_running_loop().time() + within
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(RuntimeError):  # while a page comes, it has nothing yet
                if await self.evaluate(f"Boolean({expression})"):
                    return
            await asyncio.sleep(0.05)
        shown = await self.evaluate("document.body.innerText")
        raise AssertionError(f"{expression} is not true after {within} s; the page says: {shown}")

    async def sees(self, text: str, within: float = WITHIN) -> None:
        """Wait until the page shows the text."""
        await self.until(f"document.body.innerText.includes({json.dumps(text)})", within)

    async def press(self, key: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, **text)

    async def write(self, text: str) -> None:
        """Type a text where the focus is."""
        await self.command("Input.insertText", text=text)

    async def look(self, *, width: int, height: int, dark: bool = False, scale: int = 1) -> None:
        """Set the window's size and the system's theme."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[theme])

    async def picture(self, path: Path, **options: Any) -> None:
        """Write a picture of the window."""
        shot = await self.command("Page.captureScreenshot", **{"format": "png", **options})
        path.write_bytes(base64.b64decode(shot["data"]))  # noqa: ASYNC240 - nothing else runs


@contextlib.asynccontextmanager
async def tab() -> AsyncIterator[Tab]:
    """Run a Chromium with an empty profile and one page."""
    with tempfile.TemporaryDirectory(prefix="charter-browser", ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            find_chromium() or "chromium",
            *_OPTIONS,
            f"--user-data-dir={home}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HOME": home},
        )
        try:
            async with connect(await _address(Path(home)), max_size=None) as socket:
                page = Tab(socket)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Runtime", "Network", "Log"):
                    await page.command(f"{domain}.enable")
                yield page
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _address(home: Path) -> str:
    """Return the address of the browser's first page, once it listens."""
    import httpx  # noqa: PLC0415 - only those who drive a browser need it

    deadline = asyncio.get_running_loop().time() + WITHIN
    while asyncio.get_running_loop().time() < deadline:
        with contextlib.suppress(OSError, IndexError, ValueError, httpx.HTTPError, StopIteration):
            port = (home / "DevToolsActivePort").read_text(encoding="utf-8").splitlines()[0]
            async with httpx.AsyncClient(trust_env=False) as client:
                pages = (await client.get(f"http://127.0.0.1:{int(port)}/json/list")).json()
            return next(str(p["webSocketDebuggerUrl"]) for p in pages if p["type"] == "page")
        await asyncio.sleep(0.05)
    raise RuntimeError("Chromium does not answer")
