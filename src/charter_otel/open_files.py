"""The number of files, and so of connections, that this process may have open."""

import resource
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
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - RESERVED))
