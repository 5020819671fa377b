"""The number of files, and so of connections, that this process may have open."""

import resource
import sys
from contextlib import suppress


def raise_open_file_limit() -> None:
    """Raise the limit as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS reports a hard limit that it does not grant.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


RESERVED = 100
"""Open files reserved for probes, readers, Redis, the Collector and the disk, not for robots."""


def affordable_connections(wanted: int) -> int:
    """Return how many of the wanted connections this process may hold."""
    return max(1, min(wanted, open_file_limit() - RESERVED))


def open_file_limit() -> int:
    """Return how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
