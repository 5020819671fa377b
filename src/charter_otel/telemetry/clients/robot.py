"""A robot's side of the connection, to copy: it needs `pip install websockets` and nothing else."""

import asyncio
import json
import random
import re
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

Token = Callable[[], str] | None
"""Returns a token that is good for a while; None if the service asks for none."""


async def live(
    url: str, read: Callable[[], dict[str, float]], token: Token, renew: float = 3_600.0
) -> None:
    """Send a reading each second for ever; keep unacknowledged readings for a day."""
    backlog: deque[dict[str, float]] = deque(maxlen=86_400)
    recorder = asyncio.create_task(_record(read, backlog))
    pause = 1.0
    try:
        while True:
            begun, wait = time.monotonic(), None
            headers = {"Authorization": f"Bearer {token()}"} if token else {}
            try:
                async with connect(f"{url}?ack=1", additional_headers=headers) as socket:
                    await _talk(socket, backlog, token, renew)
            except InvalidStatus as refused:
                if refused.response.status_code in {400, 404}:
                    raise  # a wrong address or id does not become right
                wait = refused.response.headers.get("Retry-After")
            except ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code == 4409:  # noqa: PLR2004
                    raise  # another robot has this id: coming back would make them take turns
                found = re.search(
                    r"come back in (\d+) s", closed.rcvd.reason if closed.rcvd else ""
                )
                wait = found and found[1]
            except OSError:
                pass  # no network; the back-off below is for this
            pause = 1.0 if time.monotonic() - begun > 60 else min(60.0, 2 * pause)  # noqa: PLR2004
            await asyncio.sleep(float(wait or pause / 2) + random.uniform(0, pause / 2))  # noqa: S311
    finally:
        recorder.cancel()


async def _record(read: Callable[[], dict[str, float]], backlog: deque[dict[str, float]]) -> None:
    while True:
        backlog.append({**read(), "timestamp": time.time()})
        await asyncio.sleep(1)


async def _talk(
    socket: ClientConnection, backlog: deque[dict[str, float]], token: Token, renew: float
) -> None:
    renewed = time.monotonic()
    while True:
        if token and time.monotonic() - renewed > renew:
            await _ask(socket, {"type": "token", "token": token()})
            renewed = time.monotonic()
        batch = list(islice(backlog, 250))  # a frame has 64 KiB
        answer = await _ask(socket, batch) if batch else {}
        while "n" in answer and backlog and backlog[0]["timestamp"] <= batch[-1]["timestamp"]:
            backlog.popleft()
        await asyncio.sleep(0 if len(backlog) > 1 and "n" in answer else 0.5)


async def _ask(socket: ClientConnection, frame: Any) -> dict[str, Any]:
    await socket.send(json.dumps(frame))
    answer: dict[str, Any] = json.loads(await socket.recv())
    return answer
