"""Batch processors while no exporter takes their items."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, StaticSampler

from charter_otel.otel.sdk.batching import BatchRecords, BatchSpans, Overflow

CAPACITY = 4


class Waiting:
    """Exports nothing until it is let go, and knows what it was given."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.busy, self.go_on = threading.Event(), threading.Event()

    def take(self, batch: Sequence[Any]) -> None:
        """Wait, then have the batch."""
        self.busy.set()
        assert self.go_on.wait(10)
        self.got += batch


class Spans(Waiting, SpanExporter):
    """Exports spans so."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Wait, then have them."""
        self.take(spans)
        return SpanExportResult.SUCCESS


class Records(Waiting, LogRecordExporter):
    """Exports records so."""

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        """Wait, then have them."""
        self.take(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Say that nothing waits here."""
        del timeout_millis
        return True

    def shutdown(self) -> None:
        """End nothing."""


class Bench:
    """A processor whose exporter waits, on a clock that stands still.

    Args:
        exporter: It.
        processor: The processor, with a short queue.
        make: Makes one span or record, whose number it gets.
        reader: Reads what the SDK counts.
    """

    def __init__(
        self,
        exporter: Waiting,
        processor: BatchSpans | BatchRecords,
        make: Callable[[int], None],
        reader: InMemoryMetricReader,
    ) -> None:
        self.exporter, self.processor, self.make = exporter, processor, make
        self.now = 0.0
        self._reader = reader
        processor._overflow = Overflow(processor._batch_processor, lambda: self.now)

    def fill(self) -> int:
        """Make as many as fit: a batch that the exporter has, and a full queue."""
        for number in range(CAPACITY):
            self.make(number)
        assert self.exporter.busy.wait(10)
        for number in range(CAPACITY, 2 * CAPACITY):
            self.make(number)
        return 2 * CAPACITY

    def counted(self) -> dict[str, float]:
        """Return how many were processed, by error type; empty for those that were exported."""
        data: Any = self._reader.get_metrics_data()
        metrics = [m for s in data.resource_metrics[0].scope_metrics for m in s.metrics]
        [processed] = [m for m in metrics if m.name.endswith(".processed")]
        return {p.attributes.get("error.type", ""): p.value for p in processed.data.data_points}


def spans_bench() -> Bench:
    """Return one for spans."""
    reader, exporter = InMemoryMetricReader(), Spans()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    processor = BatchSpans(exporter, meter_provider=meters)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    return Bench(exporter, processor, lambda n: tracer.start_span(str(n)).end(), reader)


def records_bench() -> Bench:
    """Return one for records."""
    reader, exporter = InMemoryMetricReader(), Records()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    processor = BatchRecords(exporter, max_queue_size=None, meter_provider=meters)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    logger = provider.get_logger("test")
    return Bench(exporter, processor, lambda n: logger.emit(body=str(n)), reader)


@pytest.fixture(autouse=True)
def _short_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("OTEL_BSP", "OTEL_BLRP"):
        monkeypatch.setenv(f"{prefix}_MAX_QUEUE_SIZE", str(CAPACITY))
        monkeypatch.setenv(f"{prefix}_MAX_EXPORT_BATCH_SIZE", str(CAPACITY))


@pytest.fixture(params=[spans_bench, records_bench])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Yield a bench of each kind."""
    bench: Bench = request.param()
    yield bench
    bench.exporter.go_on.set()
    bench.processor.shutdown()


def test_each_item_is_exported_or_counted_as_dropped(bench: Bench) -> None:
    """However many come while the queue is full, none is lost without a trace."""
    made = bench.fill()
    for number in range(made, 500):
        bench.make(number)
    bench.exporter.go_on.set()
    bench.processor.shutdown()
    exported = len(bench.exporter.got)
    assert exported == 2 * CAPACITY
    assert bench.counted() == {"": exported, "queue_full": 500 - exported}


def test_the_first_drop_is_logged_at_once_and_the_others_once_a_second(bench: Bench) -> None:
    """A measurement for each of them would take longer than keeping it."""
    counts = []
    made = bench.fill()
    for number, later in enumerate([0.0, 0.5, 0.4, 0.2, 0.1], start=made):
        bench.now += later
        bench.make(number)
        counts.append(bench.counted()["queue_full"])
    assert counts == [1, 1, 1, 4, 4]


def test_drops_are_logged_when_there_is_room_again(bench: Bench) -> None:
    """The next item that is kept brings it along."""
    made = bench.fill()
    for number in range(made, made + 10):
        bench.make(number)
    bench.exporter.go_on.set()
    bench.processor.force_flush()
    bench.make(made + 10)
    assert bench.counted()["queue_full"] == 10


def test_a_span_that_is_not_sampled_is_not_counted_as_dropped() -> None:
    """Nobody would have exported it."""
    bench = spans_bench()
    made = bench.fill()
    assert isinstance(bench.processor, BatchSpans)
    unsampled = TracerProvider(StaticSampler(Decision.RECORD_ONLY), shutdown_on_exit=False)
    unsampled.add_span_processor(bench.processor)
    for number in range(10):
        unsampled.get_tracer("test").start_span(str(number)).end()
    bench.exporter.go_on.set()
    bench.processor.shutdown()
    assert bench.counted() == {"": made}
