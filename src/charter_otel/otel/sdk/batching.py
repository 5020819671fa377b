"""The SDK's batch processors, which spend almost no time on items that they cannot hold.

While the Collector is away and a queue is full, the SDK makes a log record and a measurement for
each dropped item. That takes longer than keeping it would. Here that happens once a second, and the
drops in between are counted and reported together.

Workaround: https://github.com/open-telemetry/opentelemetry-python/issues/4336. Drop it when the SDK
counts the drops of a full queue together; 1.45 does not.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Sized
from typing import Any

from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from charter_otel.otel.sdk.collector_link import LINK

_BATCH = 512
"""Items of a batch, unless a variable sets it."""

LOG_EVERY = 1.0
"""Seconds between two reports of drops."""


class Overflow:
    """The items that do not fit into the queue of a batch processor.

    Args:
        batch: The SDK's own part of the processor, with the queue and its metrics.
        clock: Gives monotonic seconds.
    """

    def __init__(self, batch: Any, clock: Callable[[], float] = time.monotonic) -> None:
        # The SDK publishes only the length of its queue, and only to a meter.
        self._queue: Sized = batch._queue  # noqa: SLF001
        self._capacity: int = batch._max_queue_size  # noqa: SLF001
        self._metrics: Any = batch._metrics  # noqa: SLF001
        self._clock = clock
        # Reentrant: a finalizer that ends a span may run while its thread holds the lock.
        self._lock = threading.RLock()
        self._unlogged = 0
        self._next = -math.inf

    def holds_back(self) -> bool:
        """Return whether to drop an item here; if not, the SDK gets it, even with a full queue."""
        if len(self._queue) < self._capacity:
            if self._unlogged:
                self.log_drops()
            return False
        LINK.dropped()
        with self._lock:
            now = self._clock()
            if now < self._next:
                self._unlogged += 1
                return True
            self._next = now + LOG_EVERY
        self.log_drops()
        return False

    def log_drops(self) -> None:
        """Count the drops in ``otel.sdk.processor.*.processed``, as the SDK does."""
        with self._lock:
            count, self._unlogged = self._unlogged, 0
        if count:
            self._metrics.drop_items(count)


def batch_size(processor: str, queue: int | None = None) -> int | None:
    """Return the batch size if the SDK's own default does not fit into the queue, else None.

    Args:
        processor: ``BSP`` or ``BLRP``, as in the names of the variables.
        queue: Items that the queue holds, unless a variable sets it.
    """
    if os.environ.get(f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE", "").strip():
        return None
    size = queue or int(os.environ.get(f"OTEL_{processor}_MAX_QUEUE_SIZE", "").strip() or _BATCH)
    return min(_BATCH, size)


class BatchSpans(BatchSpanProcessor):
    """The SDK's `BatchSpanProcessor`; while its queue is full, it keeps the oldest spans."""

    def __init__(self, exporter: SpanExporter, *, meter_provider: MeterProvider) -> None:
        super().__init__(
            exporter, meter_provider=meter_provider, max_export_batch_size=batch_size("BSP")
        )
        self._overflow = Overflow(self._batch_processor)

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span for the exporter, or drop it."""
        sampled = span.context and span.context.trace_flags.sampled
        if sampled and not self._overflow.holds_back():
            super().on_end(span)

    def shutdown(self) -> None:
        """Export the waiting items, and report the drops."""
        self._overflow.log_drops()
        super().shutdown()  # type: ignore[no-untyped-call]


class BatchRecords(BatchLogRecordProcessor):
    """The SDK's `BatchLogRecordProcessor`; while its queue is full, it keeps the oldest records."""

    def __init__(
        self,
        exporter: LogRecordExporter,
        *,
        max_queue_size: int | None,
        meter_provider: MeterProvider,
    ) -> None:
        super().__init__(
            exporter,
            max_queue_size=max_queue_size,
            max_export_batch_size=batch_size("BLRP", max_queue_size),
            meter_provider=meter_provider,
        )
        self._overflow = Overflow(self._batch_processor)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Keep a record for the exporter, or drop it."""
        if not self._overflow.holds_back():
            super().on_emit(log_record)

    def shutdown(self) -> None:
        """Export the waiting items, and report the drops."""
        self._overflow.log_drops()
        super().shutdown()  # type: ignore[no-untyped-call]
