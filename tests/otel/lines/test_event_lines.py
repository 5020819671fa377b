"""An event's line takes a short way that nobody can tell from structlog's."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from structlog.testing import CapturingLogger
from structlog.typing import EventDict, WrappedLogger

from charter_otel import emit
from charter_otel.charter import Event, create, encode
from charter_otel.otel.context_attributes import with_attributes
from charter_otel.otel.instrumentation import SCOPE
from charter_otel.otel.lines.configure import configure_logs, event_lines
from charter_otel.otel.lines.values import Envelope, timestamp
from charter_otel.otel.records import severity
from charter_otel.otel.trace_context import current, trace_ids
from charter_otel.testing import Capture, logging_restored
from support.events import PAYLOADS, correlation_ids, timestamps_ns, typed_payloads
from support.written import Written

STARTED = "metrics.aggregation_started"
CLOSED = "telemetry.connection_closed"
FAILED = "metrics.aggregation_failed"
HOSTILE = '\u0085\u2028\u2029\r\n"\\'


@contextmanager
def written(service_name: str = "fleet", level: str = "DEBUG") -> Iterator[Written]:
    """Configure JSON lines, and give what is written."""
    with logging_restored():
        writer = Written()
        configure_logs(service_name=service_name, log_format="json", level=level, writer=writer)
        yield writer


def write_both_ways(event: Event, **labels: str) -> None:
    """Write the event's line by the short way, and then by structlog's."""
    encoded, level = encode(event), severity(event)
    lines = event_lines()
    assert lines
    lines.write(event, encoded, level, trace_ids(current()), labels)
    write = getattr(structlog.get_logger(SCOPE), level)
    write(event.type, timestamp=event.timestamp, charter=Envelope(event, encoded), **labels)


class TestSameBytes:
    """Both ways give the same line, to the byte."""

    @given(typed_payloads, correlation_ids, timestamps_ns)
    def test_of_any_event(
        self, typed: tuple[str, dict[str, Any]], correlation_id: str | None, now: int
    ) -> None:
        """Type, severity, payload and time make no difference."""
        with written() as writer:
            write_both_ways(create(*typed, correlation_id=correlation_id, timestamp_ns=now))
        short, structlog_s = writer.lines
        assert short == structlog_s

    def test_with_labels(self) -> None:
        """They come last; their text cannot end the line either."""
        with written() as writer:
            write_both_ways(create(FAILED, PAYLOADS[FAILED]), site=HOSTILE, firmware="é")
        short, structlog_s = writer.lines
        assert short == structlog_s
        assert len(short.decode().splitlines()) == 1

    @given(
        st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2, 3, 255])
    )
    def test_in_any_trace(self, trace_id: int, span_id: int, flags: int) -> None:
        """Nor do the ids of the current span, valid or not."""
        context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags))
        with written() as writer, trace.use_span(NonRecordingSpan(context)):
            write_both_ways(create(STARTED, PAYLOADS[STARTED]))
        short, structlog_s = writer.lines
        assert short == structlog_s

    @pytest.mark.parametrize("service_name", ["fleet", f"fleet{HOSTILE}", "fleet\udcff"])
    def test_with_text_that_would_end_the_line(self, service_name: str) -> None:
        """All characters that end a line are escaped, in the event and in the service's name."""
        payload = PAYLOADS[FAILED] | {"error_message": f"torn{HOSTILE}"}
        with written(service_name) as writer:
            write_both_ways(create(FAILED, payload))
        short, structlog_s = writer.lines
        assert short == structlog_s
        assert len(short.decode().splitlines()) == 1


def test_the_labels_of_a_robot_are_in_the_lines_of_its_events(charter_capture: Capture) -> None:
    """As on its log records; an event of no robot has none."""
    label = {"charter.robot.label.site": "berlin"}
    token = attach(with_attributes(Context(), label))
    emit(CLOSED, PAYLOADS[CLOSED])
    emit(STARTED, PAYLOADS[STARTED])
    detach(token)
    lines = [line for line in charter_capture.lines if "charter" in line]
    assert [line.get("charter.robot.label.site") for line in lines] == ["berlin", None]


@given(timestamps_ns)
def test_timestamp_is_to_the_microsecond(now: int) -> None:
    """An event's time, in RFC 3339 and back, is the same microsecond."""
    moment = datetime.fromisoformat(timestamp(now // 1_000 / 1e6))
    assert moment == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now // 1_000)


class TestOthersHaveASay:
    """A program that sets structlog up itself decides the form of events' lines."""

    @pytest.mark.parametrize("level", ["WARNING", "ERROR", "CRITICAL"])
    def test_level(self, level: str, charter_capture: Capture) -> None:
        """A line below the lowest level is not written, as by structlog."""
        with written(level=level) as writer:
            write_both_ways(create(STARTED, PAYLOADS[STARTED]))
            write_both_ways(create(FAILED, PAYLOADS[FAILED]))
        assert len(writer.lines) == (0 if level == "CRITICAL" else 2)
        assert not charter_capture.lines

    def test_processor_that_is_added(self, charter_capture: Capture) -> None:
        """A processor that is added to the list in place sees the event."""
        processors = structlog.get_config()["processors"]
        processors.insert(0, renaming)
        emit(FAILED, PAYLOADS[FAILED])
        processors.remove(renaming)
        emit(FAILED, PAYLOADS[FAILED])
        lines = [line for line in charter_capture.lines if "charter" in line]
        assert [line.get("robot_fleet") for line in lines] == ["north", None]

    def test_configuration_of_ones_own(self, charter_capture: Capture) -> None:
        """With other processors and another logger, the whole envelope goes there."""
        logger = CapturingLogger()
        structlog.configure(processors=[renaming, plain], logger_factory=lambda *_: logger)
        event = emit(FAILED, PAYLOADS[FAILED])
        assert event
        [call, _] = logger.calls  # the other line tells that there is no event stream
        assert (call.method_name, call.kwargs["robot_fleet"]) == ("error", "north")
        assert call.kwargs["charter"]["id"] == event.id
        assert charter_capture.lines == []

    def test_level_of_ones_own(self, charter_capture: Capture) -> None:
        """A filter that is put in place of ours decides."""
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("CRITICAL"))
        emit(FAILED, PAYLOADS[FAILED])
        assert charter_capture.lines == []

    def test_bound_fields(self, charter_capture: Capture) -> None:
        """Fields bound to the context are in the line."""
        with structlog.contextvars.bound_contextvars(depot="north"):
            emit(FAILED, PAYLOADS[FAILED])
        emit(FAILED, PAYLOADS[FAILED])
        lines = [line for line in charter_capture.lines if "charter" in line]
        assert [line.get("depot") for line in lines] == ["north", None]


def renaming(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Add a field, as a user's processor does."""
    event_dict["robot_fleet"] = "north"
    return event_dict


def plain(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Hand the fields to the logger as they are."""
    return event_dict
