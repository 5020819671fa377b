"""Strangers use up the file descriptors: robots and events notice nothing."""

import asyncio
import json
import resource
import socket
import time

from chaos.account import EXACTLY_ONCE, Row
from chaos.endurance.processes import open_files
from chaos.run import running

FREE, STRANGERS = 20, 60
"""Descriptors that the process has left, and connections that come for them."""


async def strangers_take_all_files(seconds: float) -> Row:
    """Silent connections take what is left, and more come than there are."""
    async with running() as (run, _):
        process = run.life.process.pid
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        few = (open_files(process) + FREE, limits[1])
        resource.prlimit(process, resource.RLIMIT_NOFILE, few)
        await _come(run.port, max(seconds, 3.0))
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        row = await run.finish("strangers", EXACTLY_ONCE)
        lines = (run.state / "lines.jsonl").read_text(encoding="utf-8").splitlines()
        said = any("no more files" in json.loads(line)["event"] for line in lines)
        return row if said else row._replace(broken=row.broken or "the files were not used up")


async def _come(port: int, seconds: float) -> None:
    """Let strangers come, and come again where the service closed their connection."""
    there: list[socket.socket] = []
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            there = [stranger for stranger in there if not _was_closed(stranger)]
            for number in range(len(there), STRANGERS):
                stranger = socket.socket()
                there.append(stranger)
                stranger.bind((f"127.0.0.{2 + number % 4}", 0))
                stranger.connect(("127.0.0.1", port))
                stranger.setblocking(False)
            await asyncio.sleep(0.1)
    finally:
        for stranger in there:
            stranger.close()


def _was_closed(stranger: socket.socket) -> bool:
    try:
        stranger.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    stranger.close()
    return True
