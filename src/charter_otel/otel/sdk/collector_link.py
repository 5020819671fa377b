"""Watches whether the Collector takes telemetry: a line when it is lost, and when it is back."""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

_SDK_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)
_OF_AN_OUTAGE = re.compile(
    r"transient error|failed to export|queue full|aborting retry|already shutdown"
    r"|timeout was exceeded|exception while exporting",
    re.IGNORECASE,
)
_NO_NEWS = re.compile(r"due to timeout|queue full|aborting retry|already shutdown", re.IGNORECASE)

log = structlog.get_logger(__name__)


class LinkState(NamedTuple):
    """The state of the link, and since when it has been so."""

    since: float
    """Time of the monotonic clock."""
    error: str | None
    """Reason of the last failed export; None while exports work."""


class CollectorLink(logging.Filter):
    """Watches every export, and keeps the SDK's own lines about an outage out of the log.

    The SDK writes several for each attempt and signal. Drops are counted in the SDK's metrics as
    before, and reported when the outage is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        """True while the providers of this process export to a Collector."""
        self._lock = threading.Lock()
        self._watches = False
        self._failing: set[str] = set()
        """Signals whose last export failed."""
        self._since = time.monotonic()
        """Time of the first failed export, or of the end of the last failure."""
        self._dropped = 0
        self._reason = ""
        """The last reason for a failed export that the SDK gave."""
        for name in _SDK_LOGGERS:
            logging.getLogger(name).addFilter(self)

    @property
    def state(self) -> LinkState | None:
        """The state of the link; None where nothing is exported to a Collector."""
        if not self.watching:
            return None
        with self._lock:
            return LinkState(self._since, self._reason[:500] if self._failing else None)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a line of the SDK."""
        text = record.getMessage()
        if not self._watches:
            return True  # a host's exporters, or those of a file: nobody else tells about them
        if not _OF_AN_OUTAGE.search(text):
            return True
        if not _NO_NEWS.search(text):
            self._reason = text
        return False

    def watch(self, signal: str, export: Callable[..., Any]) -> Callable[..., Any]:
        """Return a signal's export function, wrapped so that its outcome is recorded."""
        self._watches = True

        def watched(batch: Any, *arguments: Any, **options: Any) -> Any:
            try:
                result = export(batch, *arguments, **options)
            except Exception as error:
                self._reason = f"{type(error).__name__}: {error}"
                self._ended(signal, batch, worked=False)
                raise
            self._ended(signal, batch, worked=result.name == "SUCCESS")
            return result

        return watched

    def dropped(self, count: int = 1) -> None:
        """Count items that did not fit into a queue."""
        self._dropped += count

    def _ended(self, signal: str, batch: Any, *, worked: bool) -> None:
        with self._lock:
            failed_before = bool(self._failing)
            if not worked:
                if not failed_before:
                    self._since = time.monotonic()
                self._failing.add(signal)
                # Metrics are sums: the next export includes what this one lost.
                self._dropped += len(batch) if signal != "metrics" else 0
            elif failed_before:
                self._failing.discard(signal)
            failing = bool(self._failing)
            seconds = round(time.monotonic() - self._since, 3)
            dropped = self._dropped
            if failed_before and not failing:
                self._since = time.monotonic()
            if not failing:
                self._dropped = 0
        if failing and not failed_before:
            log.warning(
                "the Collector takes no telemetry, which is dropped where the queues are full",
                signal=signal,
                error=self._reason[:500],
            )
        elif failed_before and not failing:
            log.info("the Collector takes telemetry again", seconds=seconds, dropped=dropped)


LINK = CollectorLink()
"""The link of this process."""
