"""Redis's exporter on loopback."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rules.servers import running, tool
from support.ports import free_port
from support.redis import RedisServer


@contextlib.contextmanager
def exporting(redis: RedisServer, directory: Path, password: str | None = None) -> Iterator[str]:
    """Run an exporter for a server, and give its ``host:port``; its log is in the directory.

    Skips where there is none.
    """
    program = tool("prometheus-redis-exporter", "exporter", "redis_exporter")
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--web.listen-address={address}"]
    env = {"REDIS_ADDR": f"redis://127.0.0.1:{redis.port}", "REDIS_PASSWORD": password or ""}
    log = directory / "exporter.log"
    with running(command, log, f"http://{address}/health", env=os.environ | env):
        yield address
