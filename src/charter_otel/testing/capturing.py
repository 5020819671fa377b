"""Captures the output of the emitter and the log in memory."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import structlog
from msgspec import UNSET, UnsetType
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from charter_otel.charter import Event
from charter_otel.emit import Emitter, get_emitter, set_emitter
from charter_otel.otel import EventToSpanEventBridge, Instrumentation, configure_logs
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.streams import EventStream
from charter_otel.testing.doubles import FixedClock, IncrementalIdGenerator
from charter_otel.testing.views import (
    CapturedPoint,
    CapturedRecord,
    CapturedSpan,
    point_view,
    record_view,
    span_view,
)


class Failure(NamedTuple):
    """An error that the emitter swallowed."""

    sink: str
    error: BaseException


class Capture:
    """The emitted events, and the signals that they became; `capture` makes one.

    Args:
        sampler: Decides which spans are recorded; all, unless given.
    """

    def __init__(self, *, sampler: Sampler = ALWAYS_ON) -> None:
        self.clock = FixedClock()
        self.events: list[Event] = []
        self.failures: list[Failure] = []
        self.writer = _ListWriter()
        self._spans = InMemorySpanExporter()
        self._records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._reader = InMemoryMetricReader()
        self.instrumentation = self._instrumentation(sampler)
        self.emitter = _CapturingEmitter(self)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log's lines so far, decoded."""
        return [json.loads(line) for line in self.writer.lines]

    @property
    def log_records(self) -> list[CapturedRecord]:
        """The log records so far."""
        return [record_view(record) for record in self.raw_log_records]

    @property
    def spans(self) -> list[CapturedSpan]:
        """The spans that have ended so far."""
        return [span_view(span) for span in self.raw_spans]

    def metrics(self) -> dict[str, list[CapturedPoint]]:
        """Return each metric's series by the metric's name."""
        data = self.raw_metrics
        resources = data.resource_metrics if data else ()
        metrics = (m for r in resources for s in r.scope_metrics for m in s.metrics)
        return {metric.name: [point_view(p) for p in metric.data.data_points] for metric in metrics}

    @property
    def raw_log_records(self) -> tuple[ReadableLogRecord, ...]:
        """The log records as the SDK exports them."""
        return tuple(self._records.get_finished_logs())

    @property
    def raw_spans(self) -> tuple[ReadableSpan, ...]:
        """The spans as the SDK exports them."""
        return self._spans.get_finished_spans()

    @property
    def raw_metrics(self) -> MetricsData | None:
        """The metrics as the SDK exports them."""
        return self._reader.get_metrics_data()

    def raise_failures(self) -> None:
        """Raise the errors that the emitter swallowed, if any.

        Raises:
            ExceptionGroup: With the errors, each noted with its sink.
        """
        for sink, error in self.failures:
            error.add_note(f"swallowed on the way to the sink {sink!r}")
        if self.failures:
            errors = [failure.error for failure in self.failures]
            raise BaseExceptionGroup("the emitter swallowed errors", errors)

    def _instrumentation(self, sampler: Sampler) -> Instrumentation:
        tracer_provider = TracerProvider(
            sampler=sampler, id_generator=IncrementalIdGenerator(), shutdown_on_exit=False
        )
        tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        logger_provider = LoggerProvider(shutdown_on_exit=False)
        logger_provider.add_log_record_processor(EventToSpanEventBridge())
        logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._records))
        meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        return Instrumentation(tracer_provider, meter_provider, logger_provider)


@contextmanager
def capture(*, swallows: bool = False, sampler: Sampler = ALWAYS_ON) -> Iterator[Capture]:
    """Capture what the process's emitter emits and what the log writes, until the block ends.

    Global providers stay as they are; emitter and logging are put back at the end. A service that
    sets an emitter of its own takes `Capture.instrumentation`.

    Args:
        swallows: Whether the block expects the emitter to swallow errors.
        sampler: Decides which spans are recorded.

    Raises:
        ExceptionGroup: The emitter swallowed errors that the block did not expect.
    """
    captured = Capture(sampler=sampler)
    before = get_emitter()
    with logging_restored():
        configure_logs(
            service_name="test", log_format="json", level="DEBUG", writer=captured.writer
        )
        set_emitter(captured.emitter)
        try:
            yield captured
        finally:
            set_emitter(before)
    if not swallows:
        captured.raise_failures()


@contextmanager
def logging_restored() -> Iterator[None]:
    """Put structlog's and the standard library's configuration back when the block ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configured, configuration = structlog.is_configured(), structlog.get_config()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        if configured:
            structlog.configure(**configuration)
        else:
            structlog.reset_defaults()


class _CapturingEmitter(Emitter):
    """An emitter with fixed clock and ids, which reports events and failures to its capture."""

    def __init__(self, captured: Capture) -> None:
        suffixes = (f"{number:06d}" for number in count(1))
        super().__init__(captured.instrumentation, clock=captured.clock, suffix=suffixes.__next__)
        self._events = captured.events
        self.on_failure: Callable[[str, BaseException], None] = lambda sink, error: (
            captured.failures.append(Failure(sink, error))
        )

    def emit(
        self,
        event: object,
        payload: object = None,
        *,
        stream: EventStream | UnsetType | None = UNSET,
    ) -> Event | None:
        emitted = super().emit(event, payload, stream=stream)
        if emitted is not None:
            self._events.append(emitted)
        return emitted


class _ListWriter(LineWriter):
    """Keeps the lines instead of writing them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)
