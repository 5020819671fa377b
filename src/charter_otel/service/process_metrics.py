"""The metrics of the process: its heartbeat, its start and its use of resources."""

import asyncio
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from charter_otel.aio import end, spawn
from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments, Observed
from charter_otel.otel.semconv import Metric
from charter_otel.redis.bad_entries import UNREADABLE
from charter_otel.telemetry.pending_handshakes import REASONS, REFUSED

STANDARD_INTERVAL = 60.0
"""Seconds between two exports of the metrics if `OTEL_METRIC_EXPORT_INTERVAL` is not set."""
TICK = 0.25
"""Seconds between two measurements of the event loop."""
FILES_EVERY = 1.0
"""Seconds between two looks whether files can be opened."""
DESCRIPTORS = "descriptors"
"""The reason for which a process without free file descriptors refuses connections."""

log = structlog.get_logger(__name__)

_STATM = Path("/proc/self/statm")
_FILES = Path("/proc/self/fd")


class ProcessMetrics:
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
        self._without_files = False
        """Whether the last look found that no file can be opened."""

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
        instruments.observe(semconv.CHARTER_CONNECTION_REFUSED, _refused)
        instruments.observe(semconv.CHARTER_ENTRY_UNREADABLE, _unreadable)

    def start(self) -> None:
        """Start to watch the event loop."""
        self.stopped = False
        self._watching = spawn(self._watch(), "charter process metrics")

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
        look = time.monotonic() + FILES_EVERY
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self._lag = max(self._lag, time.monotonic() - due)
            if time.monotonic() >= look:
                look = time.monotonic() + FILES_EVERY
                self._look_for_files()

    def _look_for_files(self) -> None:
        """Say when the system gives this process no more files.

        The event loop then closes whatever connects, and tells nobody.
        """
        error = no_more_files()
        if error is not None:
            REFUSED[DESCRIPTORS] += 1
        if (error is not None) is not self._without_files:
            self._without_files = error is not None
            if error is not None:
                log.error(
                    "no more files can be opened, so that no connection is accepted; "
                    "raise the limit of open files (ulimit -n, LimitNOFILE=)",
                    error=error,
                )
            else:
                log.info("files can be opened again, and connections are accepted")


def export_interval() -> float:
    """Return the seconds between two exports, from the standard variable in milliseconds."""
    try:
        interval = float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")) / 1000
    except ValueError:
        return STANDARD_INTERVAL
    return interval if interval > 0 else STANDARD_INTERVAL


def no_more_files() -> str | None:
    """Return why no file can be opened, or None if one can."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return os.strerror(error.errno) if error.errno in {errno.EMFILE, errno.ENFILE} else None
    return None


def _refused() -> Observed:
    for reason in (*REASONS, DESCRIPTORS):
        yield REFUSED[reason], {semconv.CHARTER_REFUSAL_REASON: reason}


def _unreadable() -> Observed:
    for kind, count in list(UNREADABLE.items()):
        yield count, {semconv.CHARTER_ENTRY_KIND: kind}


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
