"""The service itself, with a fleet of robots, through an outage of Redis and a restart."""

import asyncio
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from chaos import audited
from chaos.account import EXACTLY_ONCE, Bounds, Row, breaks, in_order, unpaired
from chaos.robots import Robots
from support.instances import connections, registered, stored_events
from support.polling import eventually, wait_until
from support.redis import RedisServer
from support.service import ServiceProcess, service

RATE = 200
"""Readings fetched a second; each emits an event."""


async def restarted_in_an_outage(seconds: float) -> Row:
    """The service is terminated while Redis is down, and started again when it is back."""
    with TemporaryDirectory(prefix="charter") as directory:
        server = RedisServer(Path(directory))
        variables = {
            "CHARTER_EVENT_STREAM": server.url,
            "CHARTER_STATE_DIR": f"{directory}/state",
            "CHARTER_AGGREGATION_INTERVAL": "86400",
            "CHARTER_CONSUMERS": "audit",
        }
        server.start()
        try:
            with service(**variables) as first:
                stop = await _outage(server, first, seconds)
                emitted = first.events()
            await asyncio.to_thread(server.start)
            with service(**variables) as second:
                found = await asyncio.to_thread(_replayed, second)
                log = Path(directory) / "state" / "audit"
                await asyncio.to_thread(audited.wait, server, log)
                await asyncio.to_thread(second.stop)
                emitted += second.events()
            left = registered(server)
            wrong = [
                audited.wrong(server, log),
                f"the register still has {left} connections" if left else "",
            ]
            row = _row(emitted, stored_events(server), found, stop=stop, wrong=wrong)
            return row._replace(audited=audited.rows(log))
        finally:
            server.stop()


async def _outage(server: RedisServer, running: ServiceProcess, seconds: float) -> float:
    """Kill Redis under load, terminate the service, and give what that took."""
    robots = Robots(running.websocket)
    async with robots.living():
        await eventually(lambda: robots.connected, "all robots are connected", 60)
        reading = asyncio.create_task(_read_metrics(running, robots.names), name="reading")
        await asyncio.sleep(seconds / 2)
        server.kill()
        await asyncio.sleep(seconds / 2)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        begun = time.monotonic()
        assert await asyncio.to_thread(running.stop, signal.SIGTERM) == 0
        return time.monotonic() - begun


def _replayed(running: ServiceProcess) -> dict[str, Any]:
    """Wait until the disk is empty, and give the stream's account."""
    account: dict[str, Any] = {}

    def look() -> bool:
        account.update(running.get("/readyz")["dependencies"]["event_stream"])
        return bool(account["connected"]) and not account["spooled"]

    wait_until(look, "everything is replayed", 60)
    return account


async def _read_metrics(running: ServiceProcess, names: list[str]) -> None:
    async with httpx.AsyncClient(base_url=running.http, timeout=10) as client:
        due = time.monotonic()
        while True:
            for name in names:
                await client.get(f"/api/telemetry/robots/{name}/metrics")
                due += 1 / RATE
                await asyncio.sleep(due - time.monotonic())


def _row(
    emitted: list[dict[str, Any]],
    stored: list[dict[str, Any]],
    account: dict[str, Any],
    *,
    stop: float,
    wrong: list[str],
) -> Row:
    ids, delivered = [[event["id"] for event in events] for events in (emitted, stored)]
    lost = len(set(ids) - set(delivered)) - account["dropped"]
    opened, closed = (connections(stored, change) for change in ("established", "closed"))
    checks = {
        "lost": lost != 0,
        "an event came twice": len(delivered) != len(set(delivered)),
        "the order changed": not in_order(ids, delivered),
        "delivered what stdout does not say": set(delivered) != set(ids),
        unpaired(opened, closed): opened != closed,
        f"the stop took {stop:.1f} s": stop > Bounds().stop,
    }
    return Row(
        "restart in an outage",
        *(len(ids), len(set(delivered)), account["replayed"], account["dropped"], lost),
        *(opened.total(), len(stored), EXACTLY_ONCE),
        breaks(wrong, checks),
        f"recovered {account['recovered']}, stop {stop:.1f} s",
    )
