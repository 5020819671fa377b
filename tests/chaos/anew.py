"""Redis comes back empty, with its clock behind: what is emitted from then on arrives."""

import asyncio
import json
import time

from chaos import audited
from chaos.account import EXACTLY_ONCE, Row, breaks, in_order
from chaos.run import Run, running
from support.instances import stored_events

AHEAD = 30.0
"""Seconds by which the lost stream's clock was ahead."""


async def redis_anew(seconds: float) -> Row:
    """Lose what the old stream held; the account is of what was emitted since."""
    async with running() as (run, _):
        await asyncio.to_thread(_set_ahead, run)
        await asyncio.sleep(seconds / 2)
        run.server.kill()
        since = time.monotonic_ns()
        await asyncio.to_thread(run.server.lose_data)
        await asyncio.sleep(seconds / 4)
        await asyncio.to_thread(run.server.start)
        await asyncio.sleep(seconds / 4)
        row = await run.finish("redis anew", EXACTLY_ONCE)
        return await asyncio.to_thread(_account, run, row, since)


def _set_ahead(run: Run) -> None:
    """Number the stream's entries as a Redis does whose clock is ahead."""
    entry = f"{(time.time() + AHEAD) * 1000:.0f}-0"
    run.server.command("XADD", "{charter}:events", entry, "none", "")


def _account(run: Run, row: Row, since: int) -> Row:
    emitted = [
        event_id
        for life in run.lives
        for event_id, emission in life.emitted.items()
        if emission.at > since
    ]
    delivered = [event["id"] for event in stored_events(run.server)]
    lost = set(emitted) - set(delivered)
    lines = (run.state / "lines.jsonl").read_text(encoding="utf-8").splitlines()
    said = [line for line in map(json.loads, lines) if "began anew" in line["event"]]
    checks = {
        "lost": bool(lost),
        "an event came twice": len(delivered) != len(set(delivered)),
        "the order changed": not in_order(emitted, delivered),
        "nobody said that the stream began anew": not said,
    }
    return row._replace(
        emitted=len(emitted),
        delivered=len(set(emitted) & set(delivered)),
        lost=len(lost),
        broken=breaks([audited.wrong(run.server, run.log)], checks),
    )
