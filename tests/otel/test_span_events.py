"""The event to span event bridge, line by line against the OpenTelemetry specification.

Each test says one rule of the Logs SDK's section "Event to span event bridge" in our words.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import AnyValue

from charter_otel.otel import EventToSpanEventBridge


class Bench:
    """A logger with the bridge, before or after an exporter, and a tracer."""

    def __init__(self, *, bridge_first: bool) -> None:
        self._spans = InMemorySpanExporter()
        self._records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        tracer_provider = TracerProvider(shutdown_on_exit=False)
        tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = tracer_provider.get_tracer("test")
        processors = [EventToSpanEventBridge(), SimpleLogRecordProcessor(self._records)]
        provider = LoggerProvider(shutdown_on_exit=False)
        for processor in processors if bridge_first else reversed(processors):
            provider.add_log_record_processor(processor)
        self.logger = provider.get_logger("test")

    @property
    def span(self) -> ReadableSpan:
        """The one span that ended."""
        [span] = self._spans.get_finished_spans()
        return span

    @property
    def records(self) -> list[Any]:
        """The records that went on."""
        return [readable.log_record for readable in self._records.get_finished_logs()]


@pytest.fixture(params=[True, False], ids=["bridge first", "bridge last"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Return a bench for each order of the processors."""
    return Bench(bridge_first=request.param)


class TestConditions:
    """A record is bridged if and only if all of the conditions hold."""

    def test_all_hold(self, bench: Bench) -> None:
        """With a name, valid ids, a recording span and equal ids, the span has the event."""
        with bench.tracer.start_as_current_span("work"):
            bench.logger.emit(event_name="charter.test")
        assert [event.name for event in bench.span.events] == ["charter.test"]

    @pytest.mark.parametrize("name", [None, ""])
    def test_name_is_empty(self, bench: Bench, name: str | None) -> None:
        """A record whose event name is empty or absent is an ordinary log record: no span event."""
        with bench.tracer.start_as_current_span("work"):
            bench.logger.emit(event_name=name, body="text", attributes={"event.name": "old style"})
        assert bench.span.events == ()

    @pytest.mark.parametrize("ids", [{"trace_id": True}, {"span_id": True}, {}])
    def test_ids_are_not_valid(self, bench: Bench, ids: dict[str, bool]) -> None:
        """A record needs a valid trace id and a valid span id, both; here one or both are zero."""
        with bench.tracer.start_as_current_span("work") as span:
            context = span.get_span_context()
            record = LogRecord(event_name="charter.test")
            record.trace_id = context.trace_id if "trace_id" in ids else 0
            record.span_id = context.span_id if "span_id" in ids else 0
            bench.logger.emit(record)
        assert bench.span.events == ()

    def test_no_current_span(self, bench: Bench) -> None:
        """The record's resolved context has no span: nothing to add to."""
        with bench.tracer.start_as_current_span("work"):
            bench.logger.emit(
                event_name="charter.test", context=set_span_in_context(INVALID_SPAN, Context())
            )
        assert bench.span.events == ()
        assert len(bench.records) == 1

    def test_current_span_has_ended(self, bench: Bench) -> None:
        """A span that has ended does not record any more."""
        span = bench.tracer.start_span("work")
        span.end()
        with trace.use_span(span):
            bench.logger.emit(event_name="charter.test")
        assert bench.span.events == ()
        assert bench.records[0].trace_id == span.get_span_context().trace_id

    def test_current_span_is_not_sampled(self, bench: Bench) -> None:
        """A span that is not sampled does not record; the record still has its ids."""
        tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
        with tracer.start_as_current_span("work") as span:
            bench.logger.emit(event_name="charter.test")
        assert bench.records[0].span_id == span.get_span_context().span_id

    @pytest.mark.parametrize("changed", ["trace_id", "span_id"])
    def test_ids_are_another_span_s(self, bench: Bench, changed: str) -> None:
        """Trace id and span id must both equal those of the current span of the context."""
        with bench.tracer.start_as_current_span("work") as span:
            context = span.get_span_context()
            record = LogRecord(event_name="charter.test")
            record.trace_id, record.span_id = context.trace_id, context.span_id
            setattr(record, changed, getattr(record, changed) ^ 1)
            bench.logger.emit(record)
        assert bench.span.events == ()

    def test_resolved_context_is_the_record_s(self, bench: Bench) -> None:
        """The current span is that of the context given with the record, not of the code."""
        work = bench.tracer.start_span("work")
        bench.logger.emit(event_name="charter.test", context=set_span_in_context(work))
        work.end()
        assert [event.name for event in bench.span.events] == ["charter.test"]


class Recorder(NonRecordingSpan):
    """A span that says what it is told to say, and notes the events that it gets."""

    def __init__(self, context: SpanContext, *, recording: bool) -> None:
        super().__init__(context)
        self.recording = recording
        self.names: list[str] = []

    def is_recording(self) -> bool:
        """Say what it was told to say."""
        return self.recording

    def add_event(self, name: str, *_: Any, **__: Any) -> None:
        """Note the event."""
        self.names.append(name)


class TestForeignSpans:
    """The conditions are the bridge's own, whatever the span would do with the event."""

    VALID = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))

    def names(self, bench: Bench, span: Recorder) -> list[str]:
        """Emit an event inside of the span, and give what the span got."""
        with trace.use_span(span):
            bench.logger.emit(event_name="charter.test")
        return span.names

    def test_recording(self, bench: Bench) -> None:
        """A span that is not the SDK's, and records, gets the event."""
        assert self.names(bench, Recorder(self.VALID, recording=True)) == ["charter.test"]

    def test_not_recording(self, bench: Bench) -> None:
        """A span that does not record is not asked."""
        assert self.names(bench, Recorder(self.VALID, recording=False)) == []

    @pytest.mark.parametrize("ids", [(0, 0), (1, 0), (0, 2)])
    def test_ids_are_equal_but_not_valid(self, bench: Bench, ids: tuple[int, int]) -> None:
        """Ids that are equal and not valid are not enough."""
        context = SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(1))
        assert self.names(bench, Recorder(context, recording=True)) == []


class TestMapping:
    """The content of the one span event."""

    def test_exactly_one(self, bench: Bench) -> None:
        """Each bridged record adds exactly one span event, in the order of the records."""
        with bench.tracer.start_as_current_span("work"):
            for number in range(3):
                bench.logger.emit(event_name="charter.test", attributes={"n": number})
        numbers = [dict(event.attributes or {})["n"] for event in bench.span.events]
        assert numbers == [0, 1, 2]

    @pytest.mark.parametrize(
        ("timestamp", "expected"),
        [(5, 5), (0, 0), (None, 9)],
        ids=["timestamp", "epoch", "observed"],
    )
    def test_timestamp(self, bench: Bench, timestamp: int | None, expected: int) -> None:
        """The time is the record's timestamp if set, otherwise its observed timestamp."""
        with bench.tracer.start_as_current_span("work"):
            bench.logger.emit(event_name="charter.test", timestamp=timestamp, observed_timestamp=9)
        assert bench.span.events[0].timestamp == expected

    def test_attributes(self, bench: Bench) -> None:
        """All attributes are copied, of every kind."""
        attributes: dict[str, AnyValue] = {"a": "text", "b": 1.5, "c": True, "d": ("x", "y")}
        with bench.tracer.start_as_current_span("work"):
            bench.logger.emit(event_name="charter.test", attributes=attributes)
        assert dict(bench.span.events[0].attributes or {}) == attributes

    def test_nothing_else(self, bench: Bench) -> None:
        """Only name, time and attributes are mapped: neither body nor severity."""
        with bench.tracer.start_as_current_span("work"):
            bench.logger.emit(
                event_name="charter.test", body="text", severity_number=SeverityNumber.ERROR
            )
        assert dict(bench.span.events[0].attributes or {}) == {}
        assert bench.span.status.is_unset


class TestPipeline:
    """The record itself."""

    def test_goes_on_unchanged(self, bench: Bench) -> None:
        """Bridging keeps no record from the rest of the pipeline, and changes nothing of it."""
        with bench.tracer.start_as_current_span("work"):
            bench.logger.emit(
                timestamp=5, event_name="charter.test", body="text", attributes={"a": 1}
            )
        [record] = bench.records
        assert (record.event_name, record.body, record.timestamp) == ("charter.test", "text", 5)
        assert dict(record.attributes) == {"a": 1}

    def test_has_no_parameters(self) -> None:
        """The bridge is configured by nothing."""
        with pytest.raises(TypeError):
            EventToSpanEventBridge("anything")  # type: ignore[call-arg]

    def test_flush_and_shutdown_hold_nothing(self) -> None:
        """There is nothing to flush, and shutting down twice is fine."""
        bridge = EventToSpanEventBridge()
        assert bridge.force_flush(0)
        bridge.shutdown()
        bridge.shutdown()


@pytest.fixture(autouse=True)
def no_span_left() -> Iterator[None]:
    """Check that no test leaves a span current."""
    yield
    assert trace.get_current_span() is INVALID_SPAN
