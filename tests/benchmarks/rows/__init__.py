"""The rows of the table, by theme; importing them registers them."""

from benchmarks.rows import (
    emit,
    frames,
    handshakes,
    job,
    lag,
    outage,
    redis,
    rest,
    soak,
    start,
    storm,
    workers,
)

__all__ = [
    "emit",
    "frames",
    "handshakes",
    "job",
    "lag",
    "outage",
    "redis",
    "rest",
    "soak",
    "start",
    "storm",
    "workers",
]

ORDER = (
    "emit",
    "logfire",
    "redis",
    "get",
    "flood",
    "paced",
    "handshakes",
    "bursts",
    "memory",
    "workers",
    "storm",
    "lag",
    "job",
    "backlog",
    "outage",
    "start",
    "soak",
)
"""The names that ``ROWS`` takes, the most important first."""
