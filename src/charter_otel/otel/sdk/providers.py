"""The SDK's three providers, from the standard `OTEL_*` variables, and their bounded shutdown."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)

from charter_otel.otel.instrumentation import Instrumentation
from charter_otel.otel.sdk import declarative, exporters
from charter_otel.otel.sdk.batching import BatchRecords, BatchSpans
from charter_otel.otel.sdk.collector_link import LINK
from charter_otel.otel.sdk.tallies import TallyingMeterProvider
from charter_otel.otel.sdk.variables import check, unused
from charter_otel.otel.sdk.workarounds import HashedResource, UnreadMeterProvider, no_exemplars
from charter_otel.otel.span_events import EventToSpanEventBridge

log = structlog.get_logger(__name__)

SERVICE_NAME = "charter-otel"
"""``service.name``, unless the environment says otherwise."""

ROBOT_SERIES = 1_000
"""Most series of each of the five per-robot metrics: 5,000 for each instance."""

SDK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bucket boundaries of the SDK's durations of its own work."""

_SUMS = (Counter, UpDownCounter)

LOG_QUEUE = 8_192
"""Most event records that wait for the exporter, unless `OTEL_BLRP_MAX_QUEUE_SIZE` says
otherwise: 8 s at 1,000 events a second."""


class Providers(NamedTuple):
    """The three providers of one process; build them in each worker, never before a fork."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    logger_provider: LoggerProvider

    def instrumentation(self) -> Instrumentation:
        """Return the tracer, logger and instruments that these providers back."""
        return Instrumentation(self.tracer_provider, self.meter_provider, self.logger_provider)

    async def shutdown(self, budget: float = 3.0) -> bool:
        """Export all waiting items and release everything, within ``budget`` seconds.

        The SDK's own shutdown blocks for as long as the Collector lets it. So it runs in threads
        that the process does not wait for, and that go on if the budget is too small: traces and
        logs first, then metrics, which count them.

        Returns:
            Whether all of it ended in time.
        """
        try:
            await asyncio.wait_for(_in_thread(self._shutdown), budget)
        except TimeoutError:
            return False
        return True

    def _shutdown(self) -> None:
        exporting = [_start(self.tracer_provider.shutdown), _start(self.logger_provider.shutdown)]
        for thread in exporting:
            thread.join()
        self.meter_provider.shutdown()
        LINK.watching = False


def build(
    *,
    service_name: str = SERVICE_NAME,
    service_version: str | None = None,
    span_processors: Sequence[SpanProcessor] = (),
    metric_readers: Sequence[MetricReader] = (),
    log_processors: Sequence[LogRecordProcessor] = (),
) -> Providers:
    """Build the providers that the standard variables ask for.

    If no variable names an endpoint or an exporter for a signal, that signal is not exported:
    events still have trace ids, and the calls cost next to nothing.

    With `OTEL_CONFIG_FILE` the file decides about everything, the resource included; what it sets
    up are the process's global providers, which can be set once.

    Args:
        service_name: ``service.name``, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES`
            say otherwise.
        service_version: ``service.version``.
        span_processors: Processors beside the exporter's.
        metric_readers: Readers beside the exporter's.
        log_processors: Processors beside the exporter's and the span event bridge.

    Raises:
        ValueError: A standard variable is wrong.
    """
    check()
    for name in unused():
        log.warning("a variable has no effect here", variable=name)
    os.environ.setdefault("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    if declarative.path():
        return _of_file(span_processors, metric_readers, log_processors)
    LINK.watching = exporters.otlp_wanted()
    resource = make_resource(service_name, service_version)
    meter_provider = _meter_provider(resource, metric_readers)
    return Providers(
        _tracer_provider(resource, span_processors, meter_provider),
        meter_provider,
        _logger_provider(
            resource, log_processors, meter_provider, bridge=_spans_wanted(span_processors)
        ),
    )


def _of_file(
    span_processors: Sequence[SpanProcessor],
    metric_readers: Sequence[MetricReader],
    log_processors: Sequence[LogRecordProcessor],
) -> Providers:
    """Return the providers of `OTEL_CONFIG_FILE`, and idle ones for the signals it leaves out."""
    declarative.set_up()
    tracers, meters, loggers = (
        trace.get_tracer_provider(),
        metrics.get_meter_provider(),
        get_logger_provider(),
    )
    if not isinstance(meters, MeterProvider):
        meters = (MeterProvider if metric_readers else UnreadMeterProvider)(shutdown_on_exit=False)
    if not isinstance(tracers, TracerProvider):
        # Events have trace ids all the same.
        sampler = _bounded(ALWAYS_ON if span_processors else ALWAYS_OFF)
        tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    if not isinstance(loggers, LoggerProvider):
        loggers = LoggerProvider(shutdown_on_exit=False)
    for span_processor in span_processors:
        tracers.add_span_processor(span_processor)
    for reader in metric_readers:
        meters.add_metric_reader(reader)
    for log_processor in log_processors:
        loggers.add_log_record_processor(log_processor)
    return Providers(tracers, meters, loggers)


def _spans_wanted(processors: Sequence[SpanProcessor]) -> bool:
    return bool(processors) or exporters.traces_wanted()


def make_resource(service_name: str = SERVICE_NAME, service_version: str | None = None) -> Resource:
    """Return the service's OpenTelemetry resource; the environment takes precedence."""
    ours = {
        "service.name": service_name,
        "service.version": service_version,
        # An instance's id is random: this names its machine or pod.
        "host.name": socket.gethostname(),
    }
    given = OTELResourceDetector().detect().attributes
    created = Resource.create({k: v for k, v in ours.items() if v and not given.get(k)})
    return HashedResource(created.attributes, created.schema_url)


def name_of_service() -> str:
    """Return the ``service.name`` that file or environment give, or ours."""
    return declarative.service_name() or str(make_resource().attributes["service.name"])


def _meter_provider(resource: Resource, readers: Sequence[MetricReader]) -> MeterProvider:
    exporter = exporters.metric_exporter()
    if exporter is not None:
        readers = [*readers, PeriodicExportingMetricReader(exporter)]
    if not readers:
        return UnreadMeterProvider(resource=resource, shutdown_on_exit=False)
    # Of observable counters "lowmemory" asks for another temporality than of counters.
    temporality = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "")
    provider = MeterProvider if temporality.lower() == "lowmemory" else TallyingMeterProvider
    return provider(
        metric_readers=readers,
        resource=resource,
        shutdown_on_exit=False,
        views=[
            View(instrument_name="charter.robot.*", aggregation_cardinality_limit=ROBOT_SERIES),
            # The SDK's default buckets are for milliseconds; its own durations are in seconds.
            View(
                instrument_name="otel.sdk.*",
                instrument_type=Histogram,
                aggregation=ExplicitBucketHistogramAggregation(SDK_SECONDS),
            ),
            *(View(instrument_type=s, exemplar_reservoir_factory=no_exemplars) for s in _SUMS),
        ],
    )


def _tracer_provider(
    resource: Resource, processors: Sequence[SpanProcessor], meter_provider: MeterProvider
) -> TracerProvider:
    exporter = exporters.span_exporter(meter_provider)
    if exporter is not None:
        processors = [*processors, BatchSpans(exporter, meter_provider=meter_provider)]
    provider = TracerProvider(
        sampler=_sampler(bool(processors)),
        resource=resource,
        shutdown_on_exit=False,
        meter_provider=meter_provider,
    )
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def _sampler(somebody_looks: bool) -> Sampler | None:
    """Return None for the standard variables' choice; record nothing without a consumer.

    The flag of a caller's ``traceparent`` does not exceed that choice, as it does in the SDK.
    """
    named = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if named == "parentbased_always_off" or not (somebody_looks or named):
        return _bounded(ALWAYS_OFF)
    if named == "parentbased_traceidratio":
        ratio = os.environ.get("OTEL_TRACES_SAMPLER_ARG") or 1.0
        return _bounded(TraceIdRatioBased(float(ratio)))
    return None


def _bounded(root: Sampler) -> Sampler:
    """Return the parent-based sampler that samples no caller's trace that it would not begin."""
    return ParentBased(root, remote_parent_sampled=root)


def _logger_provider(
    resource: Resource,
    processors: Sequence[LogRecordProcessor],
    meter_provider: MeterProvider,
    *,
    bridge: bool,
) -> LoggerProvider:
    exporter = exporters.log_exporter(meter_provider)
    if exporter is not None:
        processors = [
            *processors,
            BatchRecords(exporter, max_queue_size=_log_queue(), meter_provider=meter_provider),
        ]
    provider = LoggerProvider(
        resource=resource, shutdown_on_exit=False, meter_provider=meter_provider
    )
    if bridge:
        provider.add_log_record_processor(EventToSpanEventBridge())
    for processor in processors:
        provider.add_log_record_processor(processor)
    return provider


def _start(function: Callable[[], object]) -> threading.Thread:
    """Run the function in a daemon thread: unlike an executor's, it cannot hold up the exit."""
    thread = threading.Thread(target=function, name="charter-shutdown", daemon=True)
    thread.start()
    return thread


def _log_queue() -> int | None:
    """Return None for the standard variable's choice."""
    return None if os.environ.get("OTEL_BLRP_MAX_QUEUE_SIZE") else LOG_QUEUE


async def _in_thread(function: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            function()
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

    _start(run)
    await done.wait()
