"""The service and its references as processes of their own, under the same server options."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks import machine
from support.ports import free_port

_READY_WITHIN = 30.0
_TESTS = str(Path(__file__).parents[1])


class Server(NamedTuple):
    """A running server."""

    pid: int
    address: str
    ready: float
    """Seconds from the start of the process until it answered."""

    def websocket(self, robot_id: str) -> str:
        """Return the address of a robot's WebSocket."""
        return f"ws://{self.address}/api/telemetry/ws/{robot_id}"


@contextmanager
def ours(variables: Mapping[str, str] | None = None, *options: str) -> Iterator[Server]:
    """Run the service, as `charter-otel serve` does with these options."""
    limits = {"CHARTER_MAX_FRAMES_PER_SECOND": "1000000", "CHARTER_LOG_FORMAT": "json"}
    with tempfile.TemporaryDirectory(prefix="charter") as directory:
        environment = {**limits, "CHARTER_STATE_DIR": directory, **(variables or {})}
        command = ("-m", "charter_otel", "serve", *options, "--port")
        with _running(*command, environment=environment) as server:
            yield server


@contextmanager
def bare() -> Iterator[Server]:
    """Run a bare Litestar application with the same handlers."""
    with _running("-m", "benchmarks.references.serve", "bare", environment={}) as server:
        yield server


@contextmanager
def traced(variables: Mapping[str, str]) -> Iterator[Server]:
    """Run the same with Litestar's own OpenTelemetry plugin."""
    arguments = ("-m", "benchmarks.references.serve", "traced")
    with _running(*arguments, environment=variables) as server:
        yield server


@contextmanager
def called(variables: Mapping[str, str]) -> Iterator[Server]:
    """Run the same with the SDK's bare calls for a span, a measurement and an event."""
    arguments = ("-m", "benchmarks.references.serve", "called")
    with _running(*arguments, environment=variables) as server:
        yield server


@contextmanager
def _running(*arguments: str, environment: Mapping[str, str]) -> Iterator[Server]:
    port = free_port()
    own = {n: v for n, v in os.environ.items() if not n.startswith(("OTEL_", "CHARTER_"))}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments, str(port)],
        env={**own, "PYTHONPATH": _TESTS, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        machine.pin(machine.MEASURED, process.pid)
        address = f"127.0.0.1:{port}"
        _wait(process, address)
        yield Server(process.pid, address, time.monotonic() - started)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start; run it by hand to see why")
        time.sleep(0.005)


def _answers(address: str) -> bool:
    try:
        with urlopen(f"http://{address}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, ConnectionError):
        return False
