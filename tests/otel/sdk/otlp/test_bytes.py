"""The bytes are those of the SDK's own encoder, whatever records and spans hold."""

import logging
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from charter_otel.otel.sdk.otlp.install import RECORDS, SPANS
from charter_otel.otel.sdk.otlp.records import record
from charter_otel.otel.sdk.otlp.spans import span


class Word(StrEnum):
    """A string that is not plainly one."""

    A = "a"


class Number(IntEnum):
    """A number that is not plainly one."""

    ONE = 1


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the SDK's lines about wrong values out of the output."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "a" * 119, "b" * 123, "c" * 124, "d" * 128, "é" * 8_200, "\ud800"]
)
KEYS = st.text(min_size=1, max_size=12) | st.sampled_from(["k" * 127, "k" * 200, "robot.id"])
PLAIN = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 127, 128, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1]),
    st.floats(),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    PLAIN | st.none() | st.binary(max_size=9) | st.sampled_from([Word.A, Number.ONE, {3}, object]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=4,
)
MAPS = st.dictionaries(KEYS, PLAIN | VALUES, max_size=6)


def _bounded(attributes: dict[str, Any], most: int | None) -> BoundedAttributes:
    return BoundedAttributes(most, attributes, immutable=False)


ATTRIBUTES = st.one_of(st.builds(_bounded, MAPS, st.none() | st.integers(0, 4)), MAPS, st.none())
INSTANTS: st.SearchStrategy[Any] = (
    st.none() | st.integers(0, 2**64 - 1) | st.sampled_from([-1, 2**64, 1.5])
)
STATES = st.sampled_from([None, TraceState(), TraceState([("a", "1"), ("b", "é")])])
CONTEXTS = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
    STATES,
)
RESOURCES = st.sampled_from(
    [
        Resource({}),
        Resource({"service.name": "a"}),
        Resource({"service.name": "a"}),
        Resource({"service.name": "b", "n": 1, "l": ("x", "y")}, "https://a/schema"),
    ]
)
SCOPES = st.sampled_from(
    [
        None,
        InstrumentationScope("a"),
        InstrumentationScope("a"),
        InstrumentationScope("a", "1", "https://a/schema", {"b": True}),
        InstrumentationScope("", ""),
    ]
)
EVENTS = st.builds(Event, TEXTS, ATTRIBUTES, st.integers(0, 2**64))
LINKS = st.builds(Link, CONTEXTS, ATTRIBUTES)
STATUSES = (
    st.none()
    | st.builds(Status, st.just(StatusCode.ERROR) | st.just(StatusCode.OK), st.none())
    | st.builds(Status, st.just(StatusCode.ERROR), TEXTS)
    | st.just(Status())
)


def _listed(values: list[Any], most: int | None) -> Sequence[Any]:
    return tuple(values) if most is None else BoundedList.from_seq(most, values)


def _lists(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Sequence[Any]]:
    return st.builds(_listed, st.lists(of, max_size=3), st.none() | st.integers(1, 2))


SPAN = st.builds(
    ReadableSpan,
    name=TEXTS,
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    resource=RESOURCES,
    attributes=ATTRIBUTES,
    events=_lists(EVENTS),
    links=_lists(LINKS),
    kind=st.sampled_from(SpanKind),
    status=STATUSES,
    start_time=INSTANTS,
    end_time=INSTANTS,
    instrumentation_scope=SCOPES,
)


@st.composite
def records(draw: st.DrawFn) -> ReadableLogRecord:
    """Return a record as the SDK hands it to exporters."""
    written = LogRecord(
        observed_timestamp=draw(st.integers(0, 2**64)),
        severity_text=draw(st.none() | TEXTS),
        severity_number=draw(st.none() | st.sampled_from(SeverityNumber)),
        body=draw(st.none() | TEXTS | VALUES),
        attributes=draw(ATTRIBUTES),
        event_name=draw(st.none() | TEXTS),
    )
    written.timestamp = draw(INSTANTS)
    context = draw(CONTEXTS)
    written.trace_id, written.span_id = context.trace_id, context.span_id
    written.trace_flags = context.trace_flags
    return ReadableLogRecord(written, draw(RESOURCES), draw(SCOPES))


def _outcome(encode: Callable[[Sequence[Any]], Any], batch: Sequence[Any]) -> object:
    """Return the bytes, or the class of what the encoder raised."""
    try:
        return encode(batch).SerializePartialToString()
    except Exception as error:  # noqa: BLE001 - the SDK raises a plain one
        return type(error)


@settings(max_examples=150, deadline=None)
@given(st.lists(SPAN, max_size=4))
def test_spans(batch: list[ReadableSpan]) -> None:
    """A batch of spans has the SDK's bytes, or fails as it does there."""
    assert _outcome(SPANS, batch) == _outcome(encode_spans, batch)


@settings(max_examples=150, deadline=None)
@given(st.lists(records(), max_size=4))
def test_records(batch: list[ReadableLogRecord]) -> None:
    """A batch of log records has the SDK's bytes, or fails as it does there."""
    assert _outcome(RECORDS, batch) == _outcome(encode_logs, batch)


RESOURCE = Resource({"service.name": "a"})
SCOPE = InstrumentationScope("a", "1")
USUAL: dict[str, Any] = {
    "charter.event.id": "evt_telemetry_1730000000000_abcdef",
    "charter.event.source": "telemetry",
    "charter.event.priority": "medium",
    "charter.event.version": "1.0",
    "charter.robot.id": "robot-17",
    "charter.connection.id": "ws_robot-17_1730000000_abcdef",
    "charter.connection.reason": "client_disconnect",
    "charter.connection.duration": 1234.5,
    "charter.connection.frames": 17,
    "charter.robot.known": True,
}
CONTEXT = SpanContext(1 << 127, 1 << 63, is_remote=False)


def _record() -> ReadableLogRecord:
    written = LogRecord(
        timestamp=1_730_000_000_000_000_000,
        observed_timestamp=1_730_000_000_000_000_000,
        severity_number=SeverityNumber.INFO,
        attributes=BoundedAttributes(128, USUAL),
        event_name="telemetry.connection_closed",
    )
    written.trace_id, written.span_id = CONTEXT.trace_id, CONTEXT.span_id
    return ReadableLogRecord(written, RESOURCE, SCOPE)


def _span() -> ReadableSpan:
    return ReadableSpan(
        "WS /api/telemetry/ws/{robot_id}",
        CONTEXT,
        None,
        RESOURCE,
        BoundedAttributes(128, USUAL),
        [Event("telemetry.connection_closed", BoundedAttributes(128, USUAL), 1)],
        [Link(CONTEXT, BoundedAttributes(128, USUAL))],
        SpanKind.SERVER,
        status=Status(StatusCode.ERROR, "because"),
        start_time=1_730_000_000_000_000_000,
        end_time=1_730_000_000_000_000_001,
        instrumentation_scope=SCOPE,
    )


def test_exports_of_the_service_are_ordinary() -> None:
    """A span and a record of the service are written in one pass, and have the SDK's bytes."""
    [by_sdk] = encode_spans([_span()]).resource_spans[0].scope_spans
    assert span(_span()) == by_sdk.spans[0].SerializeToString()
    [logs] = encode_logs([_record()]).resource_logs[0].scope_logs
    assert record(_record()) == logs.log_records[0].SerializeToString()


def test_a_span_counts_what_the_sdk_dropped() -> None:
    """Attributes, events and links beyond the limits, and attributes of events and links."""
    few = BoundedAttributes(1, {"a": 1, "b": 2, "c": 3})
    made = ReadableSpan(
        "a",
        CONTEXT,
        attributes=few,
        events=BoundedList.from_seq(1, [Event("a", few, 1)] * 4),
        links=BoundedList.from_seq(1, [Link(CONTEXT, few)] * 5),
        instrumentation_scope=SCOPE,
    )
    written = encode_spans([made]).resource_spans[0].scope_spans[0].spans[0]
    assert span(made) == written.SerializeToString()
    read = type(written).FromString(span(made))
    assert (read.dropped_attributes_count, read.dropped_events_count) == (2, 3)
    assert (read.dropped_links_count, read.links[0].dropped_attributes_count) == (4, 2)
    assert read.events[0].dropped_attributes_count == 2


def test_one_pass_takes_less_than_half_the_time() -> None:
    """The room can go when the SDK's encoder takes less than twice the CPU time."""

    def seconds(encode: Callable[[Sequence[Any]], Any], batch: Sequence[Any]) -> float:
        once = timeit.Timer(lambda: encode(batch).SerializeToString(), timer=time.thread_time)
        return min(once.repeat(number=1, repeat=9))

    spans, logs = [_span() for _ in range(200)], [_record() for _ in range(200)]
    assert seconds(SPANS, spans) * 2 < seconds(encode_spans, spans)
    assert seconds(RECORDS, logs) * 2 < seconds(encode_logs, logs)
