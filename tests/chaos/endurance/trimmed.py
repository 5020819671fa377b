"""A stream that is trimmed under a consumer that lags: what is lost is counted."""

import asyncio
import resource
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos import audited
from chaos.endurance.churn import Churn
from charter_otel.consumers.audit import verify
from support.instances import stored_events
from support.polling import wait_until
from support.redis import RedisServer
from support.service import ServiceProcess, service

CONNECTIONS, KEPT = 2_000, 500


async def trimmed() -> list[str]:
    """Play it, and return what came of it."""
    with TemporaryDirectory(prefix="charter") as directory:
        server = RedisServer(Path(directory))
        server.start()
        state = Path(directory) / "state"
        variables = {"CHARTER_EVENT_STREAM": server.url, "CHARTER_CONSUMERS": "audit"}
        try:
            with service(**variables, CHARTER_STATE_DIR=str(state)) as running:
                return await _measure(server, running, state / "audit")
        finally:
            server.stop()


async def _measure(server: RedisServer, running: ServiceProcess, log: Path) -> list[str]:
    pid = running.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    played = Churn(running)
    await played.come_and_go(CONNECTIONS, 0)
    await asyncio.to_thread(wait_until, lambda: not _open(running), "all have left", 60)
    emitted = len(stored_events(server))
    server.command("XTRIM", "{charter}:events", "MAXLEN", KEPT)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    await asyncio.to_thread(audited.wait, server, log, 120)
    account = running.get("/readyz")["dependencies"]["event_stream"]
    await asyncio.to_thread(running.stop)
    rows, later = audited.rows(log), len(stored_events(server)) - KEPT
    return [
        f"{emitted} events before the trim, of which {KEPT} were kept, and {later} after it",
        f"{account['trimmed']} counted as trimmed, {rows} rows in the audit log",
        f"sum {account['trimmed'] + rows} of {emitted + later}; broken: {verify(log).broken}",
    ]


def _open(running: ServiceProcess) -> int:
    return int(running.get("/api/telemetry/info")["active_connections"])
