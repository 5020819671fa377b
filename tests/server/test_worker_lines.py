"""One log of several workers: each line whole, however long it is."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support.instances import variables
from support.polling import wait_until
from support.ports import free_port
from support.redis import RedisServer


@pytest.fixture
def redis_url(mortal_redis: RedisServer) -> str:
    """Return the address of a Redis."""
    return mortal_redis.url


def _listeners(port: int) -> int:
    """Return how many sockets listen on a port; the log cannot tell, as nobody reads it yet."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def test_lines_longer_than_a_pipe_takes_whole_do_not_mix(redis_url: str, tmp_path: Path) -> None:
    """Two workers write lines of 9 kB to a full pipe; each arrives whole, and none is missing."""
    port = free_port()
    settings = variables(redis_url) | {
        "CHARTER_LOG_FORMAT": "json",
        "CHARTER_STATE_DIR": str(tmp_path / "state"),
        "OTEL_SERVICE_NAME": "x" * 9_000,
    }
    command = [sys.executable, "-m", "charter_otel", "serve", "--port", str(port), "--workers", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, pipesize=16_384, env=os.environ | settings
    ) as process:
        try:
            wait_until(lambda: _listeners(port) == 2, "both workers listen", 30)
            with ExitStack() as stack:
                for number in range(60):
                    url = f"ws://127.0.0.1:{port}/api/telemetry/ws/robot_{number}"
                    stack.enter_context(connect(url, proxy=None, compression=None))
            process.send_signal(signal.SIGTERM)
            written, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    lines = [json.loads(line) for line in written.splitlines()]
    assert {len(line["service.name"]) for line in lines} == {9_000}
    types = [line["charter"]["type"] for line in lines if "charter" in line]
    assert types.count("telemetry.connection_established") == 60
    assert types.count("telemetry.connection_closed") == 60
