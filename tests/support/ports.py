"""Ports for the servers of tests."""

import itertools
import os
import random
import socket

_RANGE = range(11_000, 21_000)
"""Below the ports that the kernel gives to clients, which may take one between its choice here and
its server's start; the bus of a cluster's node lies 10,000 above its port, and there likewise."""

# Processes of pytest-xdist that run side by side take turns: none gives a port of another's.
_number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_own = _RANGE[_number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
_ports = itertools.cycle(_own)
# Other test runs on the machine begin elsewhere.
next(itertools.islice(_ports, random.SystemRandom().randrange(len(_own)), None))


def free_port() -> int:
    """Give a TCP port on loopback that nobody listens on, another one each time."""
    return next(port for port in _ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
