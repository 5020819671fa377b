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
_QUIET = 60.0
"""Seconds after which a failure of a signal that has sent nothing since is history."""
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
        self._failing: dict[str, float] = {}
        """Signals whose last export failed, and when it did."""
        self._forgotten: set[str] = set()
        """Signals whose failure was forgotten, and that have exported nothing since."""
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
        now = time.monotonic()
        with self._lock:
            failed_before = bool(self._failing)
            if not worked:
                if not failed_before:
                    self._since = now
                self._failing[signal] = now
                # Metrics are sums: the next export includes what this one lost.
                self._dropped += len(batch) if signal != "metrics" else 0
            else:
                self._failing.pop(signal, None)
                self._forgotten.discard(signal)
                self._forget(now)
            failing = bool(self._failing)
            seconds = round(now - self._since, 3)
            dropped = self._dropped
            if failed_before and not failing:
                self._since = now
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

    def _forget(self, now: float) -> None:
        """Forget the failures of signals that are idle, as another one has been exported.

        An idle instance has no span to export for hours, while its metrics arrive. A signal that
        fails again after that is in trouble by itself, and stays so until it is exported.
        """
        for signal, failed in list(self._failing.items()):
            if now - failed >= _QUIET and signal not in self._forgotten:
                del self._failing[signal]
                self._forgotten.add(signal)


LINK = CollectorLink()
"""The link of this process."""
