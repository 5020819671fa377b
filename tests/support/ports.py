"""Ports for the servers of tests."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path

_FIRST, _COUNT = int(os.environ.get("CHARTER_TEST_PORTS", "11000")), 2_500
"""Below the ports that the kernel gives to clients, which may take one between its choice here and
its server's start; the bus of a cluster's node lies 10,000 above its port, and below them, too.
Systems that test at once on one address, as those of `make bare` do, each have a first port."""

_TURN = Path(tempfile.gettempdir()) / f"charter-test-ports-{os.getuid()}"
"""Counts the ports taken on this machine, so that test processes side by side take others."""


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on, another one each time."""
    while not _is_free(port := _FIRST + _next_turn() % _COUNT):
        pass
    return port


def _next_turn() -> int:
    with _TURN.open("a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        turn = int(file.read() or "0")
        file.truncate(0)
        file.write(str(turn + 1))
        return turn


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
