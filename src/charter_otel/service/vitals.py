"""The vital signs of the instance: its heartbeat, its start and its use of resources."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from charter_otel.aio import end, spawn
from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments, Observed
from charter_otel.otel.semconv import Metric

STANDARD_INTERVAL = 60.0
"""Seconds between two exports of the metrics if `OTEL_METRIC_EXPORT_INTERVAL` is not set."""
TICK = 0.25
"""Seconds between two measurements of the event loop."""

_STATM = Path("/proc/self/statm")
_FILES = Path("/proc/self/fd")


class Vitals:
    """The instance's heartbeat and its use of resources, observed at each collection.

    Without a heartbeat, a dead instance looks alive for as long as some hop on the way repeats its
    last values.
    """

    def __init__(self) -> None:
        self.stopped = False
        """Set before the last collection of an instance that stops in an orderly way."""
        self._began = time.monotonic()
        self._lag = 0.0
        self._watching: asyncio.Task[None] | None = None

    def observe(self, instruments: Instruments) -> None:
        """Observe the metrics at each collection."""
        readings: dict[Metric, Callable[[], float | None]] = {
            semconv.CHARTER_SERVICE_HEARTBEAT: lambda: 0.0 if self.stopped else time.time(),
            semconv.CHARTER_SERVICE_HEARTBEAT_INTERVAL: export_interval,
            semconv.CHARTER_SERVICE_LOOP_LAG: self._take_lag,
            semconv.PROCESS_UPTIME: lambda: time.monotonic() - self._began,
            semconv.PROCESS_CPU_TIME: time.process_time,
            semconv.PROCESS_MEMORY_USAGE: _memory,
            semconv.PROCESS_UNIX_FILE_DESCRIPTOR_COUNT: _files,
        }
        for metric, read in readings.items():
            instruments.observe(metric, _one(read))

    def start(self) -> None:
        """Start to watch the event loop."""
        self.stopped = False
        self._watching = spawn(self._watch(), "charter vitals")

    async def stop(self) -> None:
        """Stop watching, and let the next collection report an orderly stop."""
        self.stopped = True
        task, self._watching = self._watching, None
        if task is not None:
            await end(task, time.monotonic())

    def _take_lag(self) -> float:
        lag, self._lag = self._lag, 0.0
        return lag

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self._lag = max(self._lag, time.monotonic() - due)


def export_interval() -> float:
    """Return the seconds between two exports, from the standard variable in milliseconds."""
    try:
        interval = float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")) / 1000
    except ValueError:
        return STANDARD_INTERVAL
    return interval if interval > 0 else STANDARD_INTERVAL


def _one(read: Callable[[], float | None]) -> Callable[[], Observed]:
    def observed() -> Observed:
        value = read()
        return [] if value is None else [(value, {})]

    return observed


def _memory() -> float | None:
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return None
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def _files() -> float | None:
    try:
        return float(sum(1 for _ in _FILES.iterdir()))
    except OSError:
        return None
