"""Exports in one form: from the SDK's in-memory exporters or from OTLP requests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import Gauge, Histogram, MetricsData, Sum
from opentelemetry.sdk.trace import ReadableSpan

from charter_otel.otel.instrumentation import SCOPE


class Record(NamedTuple):
    """A log record, or an event on a span."""

    name: str
    attributes: Mapping[str, Any]
    body: Any


class Span(NamedTuple):
    """A span."""

    name: str
    kind: str
    attributes: Mapping[str, Any]
    events: tuple[Record, ...]


class Series(NamedTuple):
    """A metric with the attributes of its series."""

    name: str
    instrument: str
    unit: str
    points: tuple[Mapping[str, Any], ...]
    boundaries: tuple[float, ...] = ()


def spans_of_sdk(spans: Iterable[ReadableSpan]) -> Iterator[Span]:
    """Yield our spans of those that an in-memory exporter holds."""
    for span in spans:
        if span.instrumentation_scope and span.instrumentation_scope.name == SCOPE:
            events = (Record(e.name, e.attributes or {}, None) for e in span.events)
            yield Span(span.name, span.kind.name.lower(), span.attributes or {}, tuple(events))


def records_of_sdk(records: Iterable[ReadableLogRecord]) -> Iterator[Record]:
    """Yield our records of those that an in-memory exporter holds."""
    for readable in records:
        if readable.instrumentation_scope and readable.instrumentation_scope.name == SCOPE:
            record = readable.log_record
            yield Record(record.event_name or "", record.attributes or {}, record.body)


def series_of_sdk(data: MetricsData | None) -> Iterator[Series]:
    """Yield our metrics of what an in-memory reader collected."""
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics if scope.scope.name == SCOPE else ():
                points = tuple(dict(p.attributes or {}) for p in metric.data.data_points)
                instrument, boundaries = _kind_of_sdk(metric.data)
                yield Series(metric.name, instrument, metric.unit or "", points, boundaries)


def _kind_of_sdk(data: Any) -> tuple[str, tuple[float, ...]]:
    if isinstance(data, Sum):
        return ("counter" if data.is_monotonic else "updowncounter"), ()
    if isinstance(data, Histogram):
        return "histogram", tuple(data.data_points[0].explicit_bounds)
    return ("gauge" if isinstance(data, Gauge) else type(data).__name__), ()


def spans_of_otlp(requests: Iterable[ExportTraceServiceRequest]) -> Iterator[Span]:
    """Yield our spans of the requests that a receiver got."""
    for request in requests:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans if scope.scope.name == SCOPE else ():
                    yield _span_of_otlp(span)


def _span_of_otlp(span: trace_pb2.Span) -> Span:
    kind = trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
    events = (Record(e.name, _attributes(e.attributes), None) for e in span.events)
    return Span(span.name, kind, _attributes(span.attributes), tuple(events))


def records_of_otlp(requests: Iterable[ExportLogsServiceRequest]) -> Iterator[Record]:
    """Yield our records of the requests that a receiver got."""
    for request in requests:
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records if scope.scope.name == SCOPE else ():
                    attributes = _attributes(record.attributes)
                    yield Record(record.event_name, attributes, _value(record.body))


def series_of_otlp(requests: Iterable[ExportMetricsServiceRequest]) -> Iterator[Series]:
    """Yield our metrics of the requests that a receiver got."""
    for request in requests:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics if scope.scope.name == SCOPE else ():
                    yield _series_of_otlp(metric)


def _series_of_otlp(metric: Any) -> Series:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    boundaries: tuple[float, ...] = ()
    if kind == "sum":
        kind = "counter" if data.is_monotonic else "updowncounter"
    elif kind == "histogram":
        boundaries = tuple(data.data_points[0].explicit_bounds)
    points = tuple(_attributes(point.attributes) for point in data.data_points)
    return Series(metric.name, kind, metric.unit, points, boundaries)


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
