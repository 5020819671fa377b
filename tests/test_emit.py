"""One event to its five sinks: in order, isolated, with the trace's id, and nothing ever raised."""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from charter_otel import emit as package_emit
from charter_otel.charter import Event, decode
from charter_otel.emit import (
    Emitter,
    emit,
    event_seam,
    get_emitter,
    set_emitter,
)
from charter_otel.otel import Instrumentation
from charter_otel.otel.instruments import Instruments
from charter_otel.streams import MemoryStream, foreign
from charter_otel.testing import Capture, CapturedPoint, RecordingStream, capture
from support.events import EXAMPLES, PAYLOADS

# `charter_otel.emit` is the function, wherever the package is looked at as an object.
EMIT = sys.modules[Emitter.__module__]

STARTED = "metrics.aggregation_started"
FAILED = "metrics.aggregation_failed"
PAYLOAD = PAYLOADS[STARTED]


class Module:
    """A module with the specification's seams."""

    def __init__(self) -> None:
        self.globals: dict[str, Any] = {"_event_stream": None}
        self.set_event_stream, self.emit_event_safe = event_seam(self.globals)


@pytest.fixture
def module() -> Module:
    """Return a module of its own."""
    return Module()


def dropped(captured: Capture) -> dict[tuple[str, str], float]:
    """Return the dropped events by sink and reason."""
    points = captured.metrics().get("charter.event.dropped", [])
    return {
        (p.attributes["charter.sink"], p.attributes["charter.drop_reason"]): p.value for p in points
    }


class TestSinks:
    """The forms of an emitted event."""

    async def test_one_event_reaches_each_of_the_five(self, charter_capture: Capture) -> None:
        """Record, span event, line, metric and stream each get the event, once."""
        captured = charter_capture
        stream = MemoryStream()
        with captured.instrumentation.tracer.start_as_current_span("job"):
            event = emit(FAILED, PAYLOADS[FAILED], stream=stream)
        assert event is not None
        assert captured.events == [event]
        [record] = captured.log_records
        [span] = captured.spans
        [span_event] = span.events
        [line] = captured.lines
        assert record.event_name == span_event.name == line["event"] == FAILED
        assert record.timestamp == span_event.timestamp == captured.clock.nanoseconds
        assert record.attributes == span_event.attributes
        assert line["charter"] == json.loads(json.dumps(EXAMPLES[FAILED])) | {
            "id": event.id,
            "timestamp": captured.clock.seconds,
            "meta": {"correlation_id": span.trace_id, "version": "1.0"},
        }
        assert captured.metrics()["charter.event.emitted"] == [
            CapturedPoint({"charter.event.type": FAILED}, 1)
        ]
        await stream.start()
        await stream.stop()
        assert list(await stream.read()) == [event]

    def test_order(self, charter_capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sinks are served in the contract's order: log, line, metrics, stream."""
        order: list[str] = []
        monkeypatch.setattr(EMIT, "emit_record", noting(order, "log"))
        monkeypatch.setattr(charter_capture.writer, "write", noting(order, "line"))
        monkeypatch.setattr(Instruments, "record", noting(order, "metrics"))
        stream = MemoryStream()
        monkeypatch.setattr(stream, "publish_nowait", noting(order, "stream"))
        emit(STARTED, PAYLOAD, stream=stream)
        assert order == ["log", "line", "metrics", "stream"]
        assert len(charter_capture.events) == 1

    @pytest.mark.parametrize("event_type", EXAMPLES)
    def test_every_type_gives_exactly_one_record(
        self, event_type: str, charter_capture: Capture
    ) -> None:
        """Each type gives one record and one line, and no second record for the line."""
        event = emit(event_type, PAYLOADS[event_type])
        assert event is not None
        assert [r.event_name for r in charter_capture.log_records] == [event_type]
        lines = [line for line in charter_capture.lines if "charter" in line]
        assert [line["charter"]["id"] for line in lines] == [event.id]

    def test_without_a_stream_the_rest_happens_and_a_debug_line_says_so(
        self, charter_capture: Capture
    ) -> None:
        """The absent stream is not a failure, and is told at debug level only."""
        emit(STARTED, PAYLOAD)
        assert len(charter_capture.log_records) == 1
        assert "charter.event.dropped" not in charter_capture.metrics()
        [line] = [line for line in charter_capture.lines if line["level"] == "debug"]
        assert line["event"] == "event not published: there is no event stream"
        assert line["type"] == STARTED

    def test_statistics(self, charter_capture: Capture) -> None:
        """Statistics count events by type and tell how long emitting takes."""
        emitter = charter_capture.emitter
        assert emitter.statistics().median == 0
        for _ in range(3):
            emit(STARTED, PAYLOAD)
        emit(FAILED, PAYLOADS[FAILED])
        statistics = emitter.statistics()
        assert statistics.emitted == {STARTED: 3, FAILED: 1}
        assert statistics.failed == {}
        assert 0 < statistics.median <= statistics.p99 < 1

    def test_times_are_those_of_the_last_emissions(self, charter_capture: Capture) -> None:
        """Median and 99th percentile of some thousand, in seconds; the first emission aside."""
        emitter = charter_capture.emitter

        def emit_taking(*nanoseconds: int) -> tuple[float, float]:
            for each in nanoseconds:
                emitter.timer = iter((0, each)).__next__
                emit(STARTED, PAYLOAD)
            return emitter.statistics().median, emitter.statistics().p99

        assert emit_taking(9_000, *[1_000] * 198, 7_000) == (1e-6, 1e-6)
        assert emit_taking(7_000, 7_000) == (1e-6, 7e-6)
        emitter._sinks = ()
        assert emit_taking(*[2_000] * 5_000) == (2e-6, 2e-6)
        assert len(emitter._durations) < 5_000
        assert emit_taking(*[3_000] * 2_048) == (3e-6, 3e-6)

    def test_the_process_s_emitter_can_be_replaced(self, charter_capture: Capture) -> None:
        """`emit` uses the emitter that was set last."""
        other = Emitter(charter_capture.instrumentation)
        set_emitter(other)
        emit(STARTED, PAYLOAD)
        assert get_emitter() is other
        assert other.statistics().emitted == {STARTED: 1}
        assert package_emit is emit


def noting(order: list[str], name: str) -> Callable[..., Any]:
    """Return a function that notes that it was called."""

    def note(*_: Any, **__: Any) -> dict[str, Any]:
        order.append(name)
        return {}

    return note


class Broken:
    """Anything whose use raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


def break_log(monkeypatch: pytest.MonkeyPatch, captured: Capture) -> None:
    """Make the log record's sink raise."""
    del captured
    monkeypatch.setattr(EMIT, "emit_record", raising)


def break_line(monkeypatch: pytest.MonkeyPatch, captured: Capture) -> None:
    """Make the line's sink raise."""
    monkeypatch.setattr(captured.writer, "write", raising)


def break_metrics(monkeypatch: pytest.MonkeyPatch, captured: Capture) -> None:
    """Make the metrics' sink raise."""
    monkeypatch.setattr(captured.instrumentation.instruments, "record", raising)


def raising(*_: Any, **__: Any) -> None:
    """Raise."""
    raise RuntimeError("this sink is broken")


class TestIsolation:
    """A sink that fails is logged and counted, and takes nothing with it."""

    @pytest.mark.swallows
    @pytest.mark.parametrize(
        ("sink", "break_it"),
        [("log", break_log), ("line", break_line), ("metrics", break_metrics)],
    )
    async def test_one_failing_sink(
        self,
        sink: str,
        break_it: Callable[[pytest.MonkeyPatch, Capture], None],
        charter_capture: Capture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """With one sink broken, every other one gets the event, and the failure is counted."""
        captured = charter_capture
        stream = MemoryStream()
        break_it(monkeypatch, captured)
        event = emit(STARTED, PAYLOAD, stream=stream)
        assert event is not None
        assert [failure.sink for failure in captured.failures] == [sink]
        assert captured.emitter.statistics().failed == {sink: 1}
        assert dropped(captured) == {(sink, "error"): 1}
        charter_lines = [line for line in captured.lines if "charter" in line]
        assert len(captured.log_records) == (sink != "log")
        assert len(charter_lines) == (sink != "line")
        assert ("charter.event.emitted" in captured.metrics()) == (sink != "metrics")
        await stream.start()
        await stream.stop()
        assert list(await stream.read()) == [event]

    @pytest.mark.swallows
    def test_failing_stream(
        self, charter_capture: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stream of ours that raises is counted, and a line names sink, reason and error."""
        stream = MemoryStream()
        monkeypatch.setattr(stream, "publish_nowait", raising)
        assert emit(STARTED, PAYLOAD, stream=stream) is not None
        assert dropped(charter_capture) == {("stream", "error"): 1}
        [line] = [line for line in charter_capture.lines if line["level"] == "error"]
        assert line["event"] == "event did not reach a sink"
        assert (line["sink"], line["reason"]) == ("stream", "error")
        assert "this sink is broken" in line["error"]

    @pytest.mark.swallows
    def test_failing_span_event(self, charter_capture: Capture) -> None:
        """A span that does not take the event costs the span event, not the record."""
        context = SpanContext(7, 7, is_remote=False, trace_flags=TraceFlags(1))

        class Stubborn(NonRecordingSpan):
            def is_recording(self) -> bool:
                return True

            def add_event(self, *_: Any, **__: Any) -> None:
                raise RuntimeError("no events here")

        with trace.use_span(Stubborn(context)):
            emit(STARTED, PAYLOAD)
        assert len(charter_capture.log_records) == 1
        [line] = [line for line in charter_capture.lines if line["level"] == "error"]
        assert line["exception.message"] == "no events here"

    @pytest.mark.swallows
    def test_everything_broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With all sinks, counting and the failure's own hook broken, emitting still returns."""
        broken: Any = Broken()
        emitter = Emitter(Instrumentation(broken, broken, broken))
        emitter.on_failure = raising
        monkeypatch.setattr(EMIT, "log", Broken())
        monkeypatch.setattr(EMIT, "structlog", Broken())
        stream = MemoryStream()
        monkeypatch.setattr(stream, "publish_nowait", raising)
        assert emitter.emit(STARTED, PAYLOAD, stream=stream) is not None
        assert emitter.statistics().failed == {"log": 1, "line": 1, "metrics": 1, "stream": 1}

    @pytest.mark.swallows
    def test_broken_clock(self, charter_capture: Capture) -> None:
        """Even what stands before the sinks does not raise."""

        def no_time() -> int:
            raise OSError("the clock stopped")

        emitter = Emitter(charter_capture.instrumentation, clock=no_time)
        assert emitter.emit(STARTED, PAYLOAD) is None
        assert dropped(charter_capture) == {("validation", "error"): 1}


class RaisingMapping(Mapping[str, Any]):
    """A mapping that does not show its values."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no keys")

    def __len__(self) -> int:
        return 2


class TestHostilePayloads:
    """A payload that breaks the contract is refused, counted, and never raised."""

    @pytest.mark.swallows
    @pytest.mark.parametrize(
        "value",
        [float("nan"), float("-inf"), datetime.now(UTC), "soon", None, object(), 10**400],
        ids=["nan", "inf", "datetime", "text", "none", "object", "huge"],
    )
    def test_value_of_the_wrong_kind(self, value: object, charter_capture: Capture) -> None:
        """The event is not emitted anywhere, and the line names the field."""
        assert emit(STARTED, PAYLOAD | {"started_at": value}) is None
        assert charter_capture.log_records == []
        assert dropped(charter_capture) == {("validation", "invalid"): 1}
        [line] = charter_capture.lines
        assert line["sink"] == "validation"
        assert "payload.started_at" in line["error"]

    @pytest.mark.swallows
    @pytest.mark.parametrize("payload", [RaisingMapping(), None, 7, [], {1: 2}])
    def test_payload_that_is_none(self, payload: Any, charter_capture: Capture) -> None:
        """A payload that is not a mapping, or cannot be read, is refused too."""
        assert emit(STARTED, payload) is None
        assert len(charter_capture.failures) == 1

    @pytest.mark.swallows
    @pytest.mark.parametrize("event_type", ["metrics.unknown", "", None, [], object()])
    def test_type_that_is_none(self, event_type: Any, charter_capture: Capture) -> None:
        """A seventh type, or something that is not a text, is refused."""
        assert emit(event_type, PAYLOAD) is None
        assert [failure.sink for failure in charter_capture.failures] == ["validation"]

    def test_lone_surrogate_and_2_to_the_63(self, charter_capture: Capture) -> None:
        """Text is made encodable, and a whole number beyond 64 bits becomes a float."""
        payload = PAYLOADS[FAILED] | {"error_message": "torn \ud83d", "failed_at": 2**63}
        event = emit(FAILED, payload)
        assert event is not None
        assert event.payload["error_message"] == "torn \ufffd"
        assert event.payload["failed_at"] == float(2**63)
        [line] = [line for line in charter_capture.lines if "charter" in line]
        assert decode(json.dumps(line["charter"])) == event


class TestCorrelation:
    """`meta.correlation_id` is the trace id of the unit of work, or null."""

    def emitted(self, captured: Capture) -> Event:
        """Emit an event, and check that record, line and event agree on the trace."""
        event = emit(STARTED, PAYLOAD)
        assert event is not None
        correlation_id = event.meta["correlation_id"]
        [record] = captured.log_records
        [line] = [line for line in captured.lines if "charter" in line]
        assert record.trace_id == correlation_id
        assert line.get("trace_id") == correlation_id
        assert record.attributes.get("charter.event.correlation_id") == correlation_id
        return event

    def test_sampled_span(self, charter_capture: Capture) -> None:
        """In a sampled span it is the span's trace id, and the span has the event."""
        with charter_capture.instrumentation.tracer.start_as_current_span("work"):
            event = self.emitted(charter_capture)
        assert event.meta["correlation_id"] == "00000000000000000000000000000001"
        assert [e.name for e in charter_capture.spans[0].events] == [STARTED]

    def test_unsampled_span(self) -> None:
        """In an unsampled span it is the trace id too; only the span event is missing."""
        with (
            capture(sampler=ALWAYS_OFF) as captured,
            captured.instrumentation.tracer.start_as_current_span("work"),
        ):
            event = self.emitted(captured)
        assert event.meta["correlation_id"] == "00000000000000000000000000000001"
        assert captured.spans == []

    def test_ended_span(self, charter_capture: Capture) -> None:
        """In the context of a span that has ended, the id stays and no span event is added."""
        span = charter_capture.instrumentation.tracer.start_span("work")
        span.end()
        with trace.use_span(span):
            event = self.emitted(charter_capture)
        assert event.meta["correlation_id"] == "00000000000000000000000000000001"
        assert charter_capture.spans[0].events == ()

    def test_no_active_span(self, charter_capture: Capture) -> None:
        """Outside of any span it is null, and the attribute is not there."""
        assert self.emitted(charter_capture).meta["correlation_id"] is None

    def test_no_sdk(self) -> None:
        """Without an SDK there is no trace, so it is null."""
        emitter = Emitter(Instrumentation())
        with emitter.instrumentation.tracer.start_as_current_span("work"):
            event = emitter.emit(STARTED, PAYLOAD)
        assert event is not None
        assert event.meta["correlation_id"] is None

    def test_no_sdk_but_a_remote_parent(self) -> None:
        """Without an SDK, the id of a caller's trace passes through."""
        remote = SpanContext(0xABC, 0xDEF, is_remote=True)
        emitter = Emitter(Instrumentation())
        with trace.use_span(NonRecordingSpan(remote)):
            event = emitter.emit(STARTED, PAYLOAD)
        assert event is not None
        assert event.meta["correlation_id"] == f"{0xABC:032x}"

    async def test_concurrent_units_of_work(self, charter_capture: Capture) -> None:
        """Tasks that run side by side each have their own trace's id."""
        tracer = charter_capture.instrumentation.tracer

        async def work() -> tuple[Event | None, Event | None, str]:
            with tracer.start_as_current_span("work") as span:
                first = emit(STARTED, PAYLOAD)
                await asyncio.sleep(0)
                second = emit(FAILED, PAYLOADS[FAILED])
            return first, second, f"{span.get_span_context().trace_id:032x}"

        results = await asyncio.gather(*(work() for _ in range(50)))
        assert len({trace_id for _, _, trace_id in results}) == 50
        for first, second, trace_id in results:
            assert first is not None
            assert second is not None
            assert first.meta["correlation_id"] == second.meta["correlation_id"] == trace_id


class Hanging:
    """A foreign stream that never ends, politely or not."""

    def __init__(self, *, resists: bool) -> None:
        self.resists = resists
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = 0

    async def publish(self, event: Event) -> None:
        """Wait, and give in to a cancellation or not."""
        del event
        self.started.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if not self.resists:
                    raise


class TestForeignStreams:
    """`_emit_event_safe` with a stream that is not ours."""

    async def test_event_is_visible_when_the_await_returns(
        self, module: Module, charter_capture: Capture
    ) -> None:
        """A foreign stream has the event as soon as the helper returns."""
        stream = RecordingStream()
        module.set_event_stream(stream)
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert stream.events == charter_capture.events

    async def test_synchronous_publish(self, module: Module, charter_capture: Capture) -> None:
        """A `publish` that is not a coroutine function works as well."""
        published: list[Event] = []

        class Synchronous:
            def publish(self, event: Event) -> None:
                published.append(event)

        module.set_event_stream(Synchronous())
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert published == charter_capture.events

    async def test_own_stream_is_not_waited_for(
        self, module: Module, charter_capture: Capture
    ) -> None:
        """One of our streams takes the event into its queue, also before it is started."""
        stream = MemoryStream()
        module.set_event_stream(stream)
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert stream.statistics().queued + stream.statistics().published == 1
        assert len(charter_capture.events) == 1

    async def test_stream_is_the_module_s_own_global(
        self, module: Module, charter_capture: Capture
    ) -> None:
        """Assigning to `_event_stream` works like `set_event_stream`; modules share nothing."""
        first, second = RecordingStream(), RecordingStream()
        other = Module()
        other.set_event_stream(second)
        module.globals["_event_stream"] = first
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert (first.events, second.events) == (charter_capture.events, [])

    @pytest.mark.swallows
    @pytest.mark.parametrize("error", [ConnectionError("gone"), TypeError(), RecursionError()])
    async def test_publish_that_raises(
        self, error: Exception, module: Module, charter_capture: Capture
    ) -> None:
        """An error of the stream is counted, and the other sinks have the event."""

        class Raising:
            async def publish(self, _: Event) -> None:
                raise error

        module.set_event_stream(Raising())
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert len(charter_capture.log_records) == 1
        assert dropped(charter_capture) == {("stream", "error"): 1}

    @pytest.mark.swallows
    async def test_object_without_publish(self, module: Module, charter_capture: Capture) -> None:
        """Something that is not a stream is a counted error."""
        stream: Any = object()
        module.set_event_stream(stream)
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert dropped(charter_capture) == {("stream", "error"): 1}

    @pytest.mark.swallows
    @pytest.mark.parametrize("resists", [False, True], ids=["polite", "resisting"])
    async def test_publish_that_hangs(
        self, resists: bool, module: Module, charter_capture: Capture
    ) -> None:
        """A publish that hangs costs a quarter of a second, even if it resists its cancellation."""
        stream = Hanging(resists=resists)
        module.set_event_stream(stream)
        started = time.perf_counter()
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        took = time.perf_counter() - started
        assert 0.25 <= took < 5
        assert dropped(charter_capture) == {("stream", "timeout"): 1}
        await asyncio.sleep(0)
        assert stream.cancelled == 1
        stream.release.set()
        await asyncio.sleep(0)

    @pytest.mark.swallows
    async def test_publishes_that_never_end_are_bounded(
        self, module: Module, charter_capture: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Once too many publishes resist, the stream is not asked any more, at once."""
        monkeypatch.setattr(foreign, "UNDER_WAY", 1)
        stream = Hanging(resists=True)
        module.set_event_stream(stream)
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        monkeypatch.setattr(foreign, "TIMEOUT", 60)
        async with asyncio.timeout(10):
            await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert dropped(charter_capture) == {("stream", "timeout"): 2}
        stream.release.set()
        await asyncio.sleep(0)

    @pytest.mark.swallows
    async def test_publish_that_cancels_itself(
        self, module: Module, charter_capture: Capture
    ) -> None:
        """A cancellation inside of the stream is the stream's failure, not the caller's."""

        class Cancelling:
            async def publish(self, _: Event) -> None:
                raise asyncio.CancelledError

        module.set_event_stream(Cancelling())
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        assert dropped(charter_capture) == {("stream", "error"): 1}

    @pytest.mark.swallows
    async def test_publish_that_fails_too_late(
        self, module: Module, charter_capture: Capture
    ) -> None:
        """An error after the timeout is not reported a second time, by asyncio."""
        release = asyncio.Event()

        class Late:
            async def publish(self, _: Event) -> None:
                with suppress(asyncio.CancelledError):
                    await release.wait()
                raise ConnectionError("too late")

        module.set_event_stream(Late())
        await module.emit_event_safe(event_type=STARTED, payload=PAYLOAD)
        for _ in range(3):  # the cancellation, the error, the end of the task
            await asyncio.sleep(0)
        charter_capture.failures.clear()  # their tracebacks hold the task
        gc.collect()
        assert [line for line in charter_capture.lines if line["logger"] == "asyncio"] == []

    async def test_cancelled_caller(self, module: Module, charter_capture: Capture) -> None:
        """A cancellation of the caller passes, and takes the publish with it."""
        stream = Hanging(resists=False)
        module.set_event_stream(stream)
        task = asyncio.create_task(module.emit_event_safe(event_type=STARTED, payload=PAYLOAD))
        await stream.started.wait()
        assert len(charter_capture.events) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert stream.cancelled == 1

    @pytest.mark.swallows
    async def test_publishes_run_side_by_side(
        self, module: Module, charter_capture: Capture
    ) -> None:
        """Twenty callers of a stream that hangs wait for one timeout, not for twenty."""
        stream = Hanging(resists=False)
        module.set_event_stream(stream)
        started = time.perf_counter()
        await asyncio.gather(
            *(module.emit_event_safe(event_type=STARTED, payload=PAYLOAD) for _ in range(20))
        )
        assert time.perf_counter() - started < 2.5
        assert dropped(charter_capture) == {("stream", "timeout"): 20}

    @pytest.mark.swallows
    async def test_invalid_event_is_not_published(
        self, module: Module, charter_capture: Capture
    ) -> None:
        """An event that breaks the contract does not reach the stream."""
        stream = RecordingStream()
        module.set_event_stream(stream)
        await module.emit_event_safe(event_type=STARTED, payload={})
        assert stream.events == charter_capture.events == []
