"""Half-open TCP: the robots' network goes without a word, in a network namespace (root, `ip`)."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from chaos.endurance.processes import open_files
from support.polling import wait_until
from support.service import service

NAMESPACE, OURS, THEIRS = "charter-half", "charter-a", "charter-b"
HERE, THERE = "10.199.7.1", "10.199.7.2"


async def half_open() -> list[str]:
    """Play it, and return what came of it."""
    return await asyncio.to_thread(_half_open)


def _half_open() -> list[str]:
    count = int(os.environ.get("HALF_OPEN_CONNECTIONS", "200"))
    arguments = ("--host", "0.0.0.0", "--insecure")  # noqa: S104 - in a network of its own
    with _network(), service(*arguments) as running:
        files = open_files(running.process.pid)
        inside = ["ip", "netns", "exec", NAMESPACE, sys.executable, "-m", "chaos.endurance.holding"]
        client = subprocess.Popen(
            [*inside, f"ws://{HERE}:{running.http.rpartition(':')[2]}", "0", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert client.stdout is not None
            connected = int(client.stdout.readline().split()[1])
            _ip("link", "set", OURS, "down")
            begun = time.monotonic()
            reasons = "telemetry.connection_closed"
            wait_until(lambda: len(running.events(reasons)) >= connected, "all are closed", 300)
            took = time.monotonic() - begun
            wait_until(lambda: open_files(running.process.pid) <= files, "files are free", 60)
            closed = running.events(reasons)
        finally:
            client.kill()
            client.wait()
        told = Counter(event["payload"]["reason"] for event in closed)
        once = len({event["payload"]["connection_id"] for event in closed}) == len(closed)
        return [
            f"{connected} of {count} connected; after the cut all were closed in {took:.0f} s",
            f"reasons {dict(told)}, closed once each: {once}; their files are free again",
        ]


@contextmanager
def _network() -> Iterator[None]:
    _ip("netns", "add", NAMESPACE)
    try:
        _ip("link", "add", OURS, "type", "veth", "peer", "name", THEIRS, "netns", NAMESPACE)
        _ip("address", "add", f"{HERE}/24", "dev", OURS)
        _ip("link", "set", OURS, "up")
        _ip("-n", NAMESPACE, "address", "add", f"{THERE}/24", "dev", THEIRS)
        _ip("-n", NAMESPACE, "link", "set", THEIRS, "up")
        yield
    finally:
        _ip("netns", "delete", NAMESPACE)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
