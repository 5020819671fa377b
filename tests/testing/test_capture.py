"""The public test doubles: what they capture, and that a swallowed error fails the test."""

import logging
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from charter_otel import emit
from charter_otel.emit import event_seam, get_emitter
from charter_otel.testing import (
    Capture,
    CapturedPoint,
    FixedClock,
    IncrementalIdGenerator,
    RecordingStream,
    capture,
)
from support.events import PAYLOADS

STARTED = "metrics.aggregation_started"
PAYLOAD = PAYLOADS[STARTED]


def whole() -> tuple[object, ...]:
    """Emit two events in two spans, and give everything that was captured."""
    with capture() as captured:
        tracer = captured.instrumentation.tracer
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
            emit(STARTED, PAYLOAD)
            captured.clock.advance(1.5)
            emit("metrics.aggregation_completed", PAYLOADS["metrics.aggregation_completed"])
    lines = [line for line in captured.lines if "charter" in line]
    return (
        captured.events,
        captured.log_records,
        captured.spans,
        captured.metrics(),
        lines,
    )


def test_everything_is_deterministic() -> None:
    """The same program gives the same events, records, spans, metrics and lines, ids included."""
    assert whole() == whole()


def test_clock_ids_and_views() -> None:
    """Clock and ids count from the specification's first example and from one."""
    with capture() as captured, captured.instrumentation.tracer.start_as_current_span("work"):
        emit(STARTED, PAYLOAD)
    [event] = captured.events
    [span] = captured.spans
    assert event.id == "evt_metrics_1703001234567_000001"
    assert event.timestamp == 1703001234.567
    assert (span.name, span.kind, span.parent_id) == ("work", "internal", None)
    assert span.trace_id == event.meta["correlation_id"] == f"{1:032x}"
    assert captured.log_records[0].span_id == span.span_id == f"{1:016x}"
    assert captured.metrics() == {
        "charter.event.emitted": [CapturedPoint({"charter.event.type": STARTED}, 1)]
    }
    assert captured.lines[0]["service.name"] == "test"


def test_process_is_put_back() -> None:
    """Emitter and logging are afterwards what they were before, also after an error."""
    emitter, handlers = get_emitter(), logging.getLogger().handlers[:]
    configured = structlog.is_configured()
    with suppress(KeyError), capture():
        assert get_emitter() is not emitter
        raise KeyError
    assert get_emitter() is emitter
    assert logging.getLogger().handlers == handlers
    assert structlog.is_configured() == configured


def test_swallowed_error_is_raised_at_the_end() -> None:
    """An error that the emitter swallowed fails the block, and names its sink."""
    with pytest.raises(ExceptionGroup, match="swallowed") as raised, capture():
        emit(STARTED, {})
    [error] = raised.value.exceptions
    assert "validation" in error.__notes__[0]


def test_swallowed_error_that_is_meant() -> None:
    """A block that means it can look at the failures."""
    with capture(swallows=True) as captured:
        emit(STARTED, {})
    assert [failure.sink for failure in captured.failures] == ["validation"]


def test_error_of_the_block_comes_first() -> None:
    """An error of the block itself is not hidden behind what was swallowed."""

    def fail() -> None:
        with capture():
            emit(STARTED, {})
            raise KeyError

    with pytest.raises(KeyError):
        fail()


async def test_recording_stream(charter_capture: Capture) -> None:
    """A module publishes to the recording stream as to any other."""
    stream = RecordingStream()
    module: dict[str, object] = {"_event_stream": stream}
    _, emit_event_safe = event_seam(module)
    await emit_event_safe(STARTED, PAYLOAD)
    assert stream.events == charter_capture.events


def test_clock() -> None:
    """The clock stands still until it is moved."""
    clock = FixedClock()
    assert (clock(), clock.seconds) == (1_703_001_234_567_000_000, 1703001234.567)
    clock.advance(0.5)
    assert (clock(), clock.seconds) == (1_703_001_235_067_000_000, 1703001235.067)


def test_id_generator() -> None:
    """Trace ids and span ids count separately."""
    ids = IncrementalIdGenerator()
    assert [ids.generate_trace_id(), ids.generate_trace_id(), ids.generate_span_id()] == [1, 2, 1]
    assert not ids.is_trace_id_random()


def run_pytest(directory: Path, test: str) -> str:
    """Run pytest on a test of a user's project, and give its output."""
    (directory / "conftest.py").write_text('pytest_plugins = ["charter_otel.testing"]\n')
    (directory / "test_user.py").write_text(textwrap.dedent(test))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        "--strict-markers",
    ]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


def test_plugin_in_a_user_s_project(tmp_path: Path) -> None:
    """The fixture captures, fails the test that swallowed an error, and knows its marker."""
    output = run_pytest(
        tmp_path,
        """
        import pytest
        from charter_otel import emit

        def test_captures(charter_capture):
            emit("metrics.aggregation_started", {"job_id": "a", "started_at": 1.0})
            assert len(charter_capture.events) == 1

        def test_swallows_by_mistake(charter_capture):
            emit("metrics.aggregation_started", {"job_id": "a"})

        @pytest.mark.swallows
        def test_swallows_on_purpose(charter_capture):
            emit("metrics.aggregation_started", {"job_id": "a"})
        """,
    )
    assert "3 passed, 1 error" in output
    assert "ERROR test_user.py::test_swallows_by_mistake" in output


def test_works_without_pytest() -> None:
    """`capture` needs no test runner."""
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from charter_otel import emit; from charter_otel.testing import capture\n"
        "with capture() as captured:\n"
        "    emit('metrics.aggregation_started', {'job_id': 'a', 'started_at': 1})\n"
        "print(len(captured.events))"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("1\n", "")
