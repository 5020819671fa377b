"""Each workaround is still needed: a test that fails says which one can go."""

import copy
from typing import Any
from unittest.mock import patch

from opentelemetry._logs import LogRecord
from opentelemetry.metrics import Observation
from opentelemetry.sdk import resources
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource

from charter_otel.otel.sdk.workarounds import (
    EventRecord,
    HashedResource,
    forget_series,
    no_exemplars,
)


def test_the_sdk_computes_the_hash_of_a_resource_each_time() -> None:
    """`HashedResource` can go when the SDK makes JSON of the attributes once."""
    ours = HashedResource({"service.name": "a"})
    theirs = Resource({"service.name": "a"})
    assert hash(ours) == hash(theirs)
    with patch.object(resources, "dumps", side_effect=AssertionError) as dumps:
        assert hash(ours) == hash(ours)
        assert not dumps.called
        for _ in range(2):
            try:
                hash(theirs)
            except AssertionError:
                continue
        assert dumps.call_count == 2


def test_an_instrument_without_a_reader_does_not_know_it() -> None:
    """`UnreadMeterProvider` can go when instruments can be asked whether anybody looks."""
    assert not hasattr(Counter, "enabled")


def test_an_observable_instrument_keeps_the_series_of_former_collections() -> None:
    """`forget_series` can go when a series that nobody observes any more leaves room for others."""
    told, reader = ["one"], InMemoryMetricReader()
    views = [View(instrument_name="gauge", aggregation_cardinality_limit=1)]
    meter = MeterProvider([reader], views=views).get_meter("test")
    gauge = meter.create_observable_gauge(
        "gauge", [lambda _: [Observation(1, {"name": name}) for name in told]]
    )

    def series() -> list[object]:
        data = reader.get_metrics_data()
        assert data is not None
        points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        return [(point.attributes or {}).get("name") for point in points]

    assert series() == ["one"]
    told[:] = ["two"]
    assert series() == [None], "it overflows"
    forget_series(gauge)
    assert series() == ["two"]


def test_a_counter_keeps_exemplars_by_default() -> None:
    """`NoExemplars` can go when the SDK keeps none of sums."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], exemplar_filter=AlwaysOnExemplarFilter())
    provider.get_meter("a").create_counter("b").add(1)
    assert _only_point(reader).exemplars


def test_a_counter_without_exemplars_still_counts() -> None:
    """The SDK makes the reservoir of each series with what `no_exemplars` returns."""
    reader = InMemoryMetricReader()
    MeterProvider(
        metric_readers=[reader],
        exemplar_filter=AlwaysOnExemplarFilter(),
        views=[View(instrument_type=Counter, exemplar_reservoir_factory=no_exemplars)],
    ).get_meter("a").create_counter("b").add(1)
    point = _only_point(reader)
    assert (point.value, point.exemplars) == (1, [])


def test_a_log_record_has_no_copy_of_its_own() -> None:
    """`EventRecord` can go when the API's record copies itself."""
    assert not hasattr(LogRecord, "__copy__")
    record = EventRecord(event_name="a", attributes={"b": 1})
    assert vars(copy.copy(record)) == vars(record)


def test_a_full_queue_of_the_sdk_measures_each_drop() -> None:
    """`Overflow` can go when the SDK counts drops together."""
    processor = BatchLogRecordProcessor(
        InMemoryLogRecordExporter(),  # type: ignore[no-untyped-call]
        max_queue_size=1,
        max_export_batch_size=1,
    )
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    batch = processor._batch_processor
    batch._worker_awaken.set()
    with patch.object(batch._metrics, "drop_items") as dropped, patch.object(batch, "_export"):
        for _ in range(4):
            provider.get_logger("a").emit(LogRecord(event_name="b"))
        assert dropped.call_count >= 3
    provider.shutdown()


def _only_point(reader: InMemoryMetricReader) -> Any:
    data = reader.get_metrics_data()
    assert data is not None
    [point] = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    return point
