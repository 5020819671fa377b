"""Plain attributes in one pass: records and span events are what the SDK makes of them."""

import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import opentelemetry.attributes
import pytest
from opentelemetry._logs import LogRecord, NoOpLogger
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import Span, SpanLimits, TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext

from charter_otel.otel.sdk import plain_attributes

ATTRIBUTES: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"text": "é", "number": 1, "ratio": 0.5, "truth": True},
    {"none": None, "text": "a"},
    {"list": ["a", 1], "map": {"a": 1}},
    {f"key{n}": n for n in range(200)},
    {"long": "a" * 50, "b": "c"},
)
LIMITS: tuple[tuple[int | None, int | None], ...] = ((None, None), (3, None), (None, 10))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the SDK's lines about wrong values out of the output."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
@pytest.mark.parametrize(("most", "longest"), LIMITS)
@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_a_record_has_the_attributes_that_the_sdk_would_keep(
    attributes: dict[str, Any] | None, most: int | None, longest: int | None
) -> None:
    """Within the limits and beyond them; the number of dropped ones, too."""
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    limits = LogRecordLimits(
        max_log_record_attributes=most, max_log_record_attribute_length=longest
    )
    provider = LoggerProvider(shutdown_on_exit=False, log_record_limits=limits)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("a", "1")
    logger.emit(LogRecord(event_name="a", attributes=attributes))
    plain_attributes.emit(logger, LogRecord(event_name="a", attributes=attributes))
    theirs, ours = exporter.get_finished_logs()
    assert kept(ours.log_record.attributes) == kept(theirs.log_record.attributes)
    assert ours.resource == theirs.resource
    assert ours.instrumentation_scope == theirs.instrumentation_scope
    assert ours.limits is theirs.limits


@pytest.mark.parametrize(("most", "longest"), LIMITS)
@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_a_span_event_has_the_attributes_that_the_sdk_would_keep(
    attributes: dict[str, Any] | None, most: int | None, longest: int | None
) -> None:
    """Within the limits and beyond them; the number of dropped ones, too."""
    limits = SpanLimits(max_event_attributes=most, max_attribute_length=longest)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    span = provider.get_tracer("a").start_span("work")
    assert isinstance(span, Span)
    span.add_event("a", attributes, 1)
    plain_attributes.add_event(span, "a", attributes, 1)
    theirs, ours = span.events
    assert (ours.name, ours.timestamp) == (theirs.name, theirs.timestamp)
    assert kept(ours.attributes) == kept(theirs.attributes)
    span.end()
    plain_attributes.add_event(span, "late", attributes, 1)
    assert len(span.events) == 2


def kept(attributes: Any) -> tuple[object, ...]:
    """Return everything about attributes that the SDK kept, the order included."""
    assert type(attributes) is BoundedAttributes
    fields = vars(attributes)
    return list(fields["_dict"].items()), *(fields[f] for f in ("dropped", "maxlen", "_immutable"))


def test_loggers_and_spans_of_others_get_the_plain_calls() -> None:
    """A program may have another implementation of the API."""
    record, logger = LogRecord(event_name="a"), NoOpLogger("a")
    with patch.object(logger, "emit") as emitted:
        plain_attributes.emit(logger, record)
    emitted.assert_called_once_with(record)
    span = NonRecordingSpan(SpanContext(1, 1, is_remote=False))
    with patch.object(span, "add_event") as added:
        plain_attributes.add_event(span, "a", {"b": 1}, 2)
    added.assert_called_once_with("a", {"b": 1}, 2)


def test_the_sdk_looks_at_each_value() -> None:
    """The room can go when the SDK keeps plain values in one pass."""
    clean = opentelemetry.attributes._clean_attribute_value
    with patch.object(
        opentelemetry.attributes, "_clean_attribute_value", side_effect=clean
    ) as seen:
        ReadWriteLogRecord(LogRecord(attributes={"a": 1, "b": "c"}))
        assert seen.call_count == 3
        plain_attributes.PlainRecord(LogRecord(attributes={"a": 1, "b": "c"}))
        assert seen.call_count == 3
