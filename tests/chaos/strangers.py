"""Strangers use up the file descriptors: robots and events notice nothing."""

import asyncio
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from chaos.account import EXACTLY_ONCE, Row
from chaos.endurance.processes import open_files
from chaos.run import running

FREE, STRANGERS = 20, 200
"""Descriptors that the process has left, and connections that come for them."""


async def strangers_take_all_files(seconds: float) -> Row:
    """Silent connections take what is left, and more come than there are."""
    async with running() as (run, _):
        process = run.life.process.pid
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        few = (open_files(process) + FREE, limits[1])
        resource.prlimit(process, resource.RLIMIT_NOFILE, few)
        with _coming(run.port):
            await asyncio.sleep(max(seconds, 3.0))
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        row = await run.finish("strangers", EXACTLY_ONCE)
        lines = (run.state / "lines.jsonl").read_text(encoding="utf-8").splitlines()
        said = any("no more files" in json.loads(line)["event"] for line in lines)
        return row if said else row._replace(broken=row.broken or "the files were not used up")


@contextmanager
def _coming(port: int) -> Iterator[None]:
    with ExitStack() as stack:
        for number in range(STRANGERS):
            stranger = stack.enter_context(socket.socket())
            stranger.bind((f"127.0.0.{2 + number % 4}", 0))
            stranger.connect(("127.0.0.1", port))
        yield
