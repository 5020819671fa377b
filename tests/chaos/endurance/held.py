"""Twenty thousand connections at once, held over several rounds of pings."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import IO

from chaos.endurance.processes import children, open_files, resident
from support.instances import closed, established, registered
from support.polling import wait_until
from support.redis import RedisServer
from support.service import ServiceProcess, service

CLIENTS = 2
"""A process has only so many files; so there are two workers, too, unless it is said otherwise."""


async def held() -> list[str]:
    """Play it, and return what came of it."""
    return await asyncio.to_thread(_held)


def _held() -> list[str]:
    count = int(os.environ.get("HELD_CONNECTIONS", "20000"))
    seconds = float(os.environ.get("HELD_SECONDS", "120"))
    many = os.environ.get("HELD_WORKERS", "2")
    with TemporaryDirectory(prefix="charter") as directory, ExitStack() as stack:
        server = RedisServer(Path(directory))
        stack.callback(server.stop)
        server.start()
        variables = {"CHARTER_EVENT_STREAM": server.url, "CHARTER_HEARTBEAT_TIMEOUT": "3600"}
        running = stack.enter_context(service("--workers", many, **variables))
        workers = children(running.process.pid) or [running.process.pid]
        before = sum(map(resident, workers))
        begun = time.monotonic()
        clients = [_client(running, number, count // CLIENTS) for number in range(CLIENTS)]
        for client in clients:
            stack.callback(client.kill)
        connected = sum(_heard(client.stdout, "held") for client in clients)
        came = time.monotonic() - begun
        memory = sum(map(resident, workers)) - before
        files = [open_files(worker) for worker in workers]
        late = _latencies(running, seconds)
        online = sum(r["status"] == "online" for r in running.get("/api/telemetry/robots"))
        for client in clients:
            assert client.stdin is not None
            client.stdin.close()
        left = sum(_heard(client.stdout, "left") for client in clients)
        wait_until(lambda: registered(server) == 0, "every connection is closed", 300)
        running.stop(within=60)
        opened = established(server)
        return [
            f"{connected} of {count} connected in {came:.0f} s; open files of the workers: {files}",
            f"{memory * 1024 / count:.1f} KiB a connection; online {online}",
            f"held for {seconds:.0f} s, of which {left} were left",
            f"/healthz took {median(late) * 1000:.0f} ms, at most {max(late) * 1000:.0f} ms",
            f"established {opened.total()}, closed once each: {opened == closed(server)}",
        ]


def _client(running: ServiceProcess, number: int, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "chaos.endurance.holding", running.websocket]
    return subprocess.Popen(
        [*command, str(number * count), str(count), f"127.0.0.{2 + number}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _heard(stdout: IO[str] | None, word: str) -> int:
    assert stdout is not None
    said, _, number = stdout.readline().partition(" ")
    assert said == word, said
    return int(number)


def _latencies(running: ServiceProcess, seconds: float) -> list[float]:
    until, taken = time.monotonic() + seconds, []
    while time.monotonic() < until:
        begun = time.monotonic()
        running.get("/healthz")
        taken.append(time.monotonic() - begun)
        time.sleep(0.5)
    return taken
