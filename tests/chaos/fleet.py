"""The service itself, with a fleet of robots, through an outage of Redis and a restart."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from chaos.run import EXACTLY_ONCE, STOP_WITHIN, Row
from charter_otel.consumers.audit import verify
from support.polling import wait_until
from support.redis import RedisServer
from support.service import ServiceProcess, service

RATE = 200
"""Readings fetched a second; each emits an event."""


async def restarted_in_an_outage(seconds: float, robots: int = 500) -> Row:
    """The service is terminated while Redis is down, and started again when it is back."""
    with TemporaryDirectory(prefix="charter") as directory:
        server = RedisServer(Path(directory))
        variables = {
            "CHARTER_EVENT_STREAM": server.url,
            "CHARTER_STATE_DIR": f"{directory}/state",
            "CHARTER_AGGREGATION_INTERVAL": "1",
            "CHARTER_CONSUMERS": "audit",
        }
        server.start()
        try:
            with service(**variables) as first:
                stop = await _outage(server, first, seconds, robots)
                emitted = first.events()
            await asyncio.to_thread(server.start)
            with service(**variables) as second:
                found = await asyncio.to_thread(_replayed, second)
                missed = await asyncio.to_thread(_unaudited, Path(directory), emitted)
                await asyncio.to_thread(second.stop)
                emitted += second.events()
            return _row(robots, emitted, _delivered(server), found, stop=stop, missed=missed)
        finally:
            server.stop()


async def _outage(
    server: RedisServer, running: ServiceProcess, seconds: float, robots: int
) -> float:
    """Kill Redis under load, terminate the service, and give what that took."""
    async with _robots(running, robots):
        await asyncio.to_thread(_wait_for_robots, running, robots)
        reading = asyncio.create_task(_read_metrics(running, robots), name="reading")
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


@asynccontextmanager
async def _robots(running: ServiceProcess, count: int) -> AsyncIterator[None]:
    options = ("--robots", str(count), "--hz", "0.2", "--seconds", "3600")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "charter_otel", "simulate", "--url", running.websocket, *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def _wait_for_robots(running: ServiceProcess, count: int) -> None:
    wait_until(
        lambda: len(running.get("/api/telemetry/robots")) >= count, "the robots are connected", 60
    )


async def _read_metrics(running: ServiceProcess, robots: int) -> None:
    names = [each["robot_id"] for each in running.get("/api/telemetry/robots")]
    assert len(names) >= robots
    async with httpx.AsyncClient(base_url=running.http, timeout=10) as client:
        due = time.monotonic()
        while True:
            for name in names:
                await client.get(f"/api/telemetry/robots/{name}/metrics")
                due += 1 / RATE
                await asyncio.sleep(due - time.monotonic())


def _delivered(server: RedisServer) -> list[str]:
    with server.client() as client:
        entries: Any = client.xrange("{charter}:events")
    return [json.loads(fields[b"event"])["id"] for _, fields in entries]


def _unaudited(directory: Path, emitted: list[dict[str, Any]]) -> str:
    """Wait until the audit log has every event once; tell what is wrong with it otherwise."""
    log = directory / "state" / "audit"
    wanted = {event["id"] for event in emitted}
    try:
        wait_until(lambda: wanted <= set(_audited(log)), "every event is audited", 30)
    except AssertionError as error:
        return str(error)
    rows = _audited(log)
    broken = verify(log).broken
    return f"audit log: {broken}" if broken or len(rows) != len(set(rows)) else ""


def _audited(log: Path) -> list[str]:
    lines = [
        line
        for path in sorted(log.glob("audit-*.jsonl"))
        for line in path.read_text().splitlines(keepends=True)
    ]
    return [json.loads(line)["event"]["id"] for line in lines if line.endswith("\n")]


def _row(
    robots: int,
    emitted: list[dict[str, Any]],
    delivered: list[str],
    account: dict[str, Any],
    *,
    stop: float,
    missed: str,
) -> Row:
    ids = [event["id"] for event in emitted]
    lost = len(set(ids) - set(delivered)) - account["dropped"]
    order = {event_id: place for place, event_id in enumerate(ids)}
    places = [order[event_id] for event_id in delivered if event_id in order]
    checks = {
        "lost": lost != 0,
        "an event came twice": len(delivered) != len(set(delivered)),
        "the order changed": places != sorted(places),
        "delivered what stdout does not say": set(delivered) != set(ids),
        f"the stop took {stop:.1f} s": stop > STOP_WITHIN + 5,
        missed: bool(missed),
    }
    return Row(
        "restart in an outage",
        len(ids),
        len(set(delivered)),
        account["replayed"],
        account["dropped"],
        lost,
        EXACTLY_ONCE,
        "; ".join(what for what, is_so in checks.items() if is_so),
        f"{robots} robots, recovered {account['recovered']}, stop {stop:.1f} s",
    )
