"""The names, labels and life of the series that dashboards and rules build on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Meter, Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from collector.harness import Collector
from support.http import LOCAL
from support.polling import wait_until

OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def test_names_and_labels(binary: Path, tmp_path: Path) -> None:
    """Units and kinds become suffixes; the resource becomes job, instance and target_info."""
    with Collector(binary, tmp_path, "base.yaml") as collector, _meter(collector) as (meter, flush):
        meter.create_histogram(
            "charter.job.run.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 5]
        ).record(0.25, {"charter.job.id": "aggregate_mission_metrics"})
        meter.create_counter("charter.event.emitted", unit="{event}").add(
            3, {"charter.event.type": "metrics.aggregation_started"}
        )
        meter.create_observable_gauge(
            "charter.robot.battery.charge",
            [lambda _: [Observation(0.78, {"charter.robot.id": "10.0.0.7"})]],
            unit="1",
        )
        meter.create_up_down_counter("charter.connection.active", unit="{connection}").add(2)
        flush()
        text = LOCAL.get(collector.prometheus).text

    who = 'instance="one",job="charter-otel"'
    job = f'charter_job_id="aggregate_mission_metrics",{who}'
    for line in (
        f'charter_job_run_duration_seconds_bucket{{{job},le="0.1"}} 0',
        f'charter_job_run_duration_seconds_bucket{{{job},le="5"}} 1',
        f'charter_job_run_duration_seconds_bucket{{{job},le="+Inf"}} 1',
        f"charter_job_run_duration_seconds_sum{{{job}}} 0.25",
        f"charter_job_run_duration_seconds_count{{{job}}} 1",
        f'charter_event_emitted_total{{charter_event_type="metrics.aggregation_started",{who}}} 3',
        f'charter_robot_battery_charge_ratio{{charter_robot_id="10.0.0.7",{who}}} 0.78',
        f"charter_connection_active{{{who}}} 2",
    ):
        assert line in text.splitlines()
    assert re.search(rf"target_info\{{{who},.*service_version=\"1\.2\.3\".*\}} 1", text)


def test_exemplars_lead_to_the_trace(binary: Path, tmp_path: Path) -> None:
    """In the OpenMetrics format a bucket carries the trace id of one of its observations."""
    tracer = TracerProvider().get_tracer("test")
    with Collector(binary, tmp_path, "base.yaml") as collector, _meter(collector) as (meter, flush):
        histogram = meter.create_histogram("charter.job.run.duration", unit="s")
        with tracer.start_as_current_span("charter.job.run") as current:
            histogram.record(0.25)
        flush()
        text = LOCAL.get(collector.prometheus, headers=OPEN_METRICS).text
    trace_id = f"{current.get_span_context().trace_id:032x}"
    assert re.search(rf'_bucket\{{.*\}} 1 # \{{.*trace_id="{trace_id}".*\}} 0\.25', text)


def test_series_of_a_dead_instance_expire(binary: Path, tmp_path: Path) -> None:
    """A series stays as long as its process exports it, then goes."""
    env = {"CHARTER_COLLECTOR_METRIC_EXPIRATION": "2s"}
    with Collector(binary, tmp_path, "base.yaml", **env) as collector:
        seen = list[set[str]]()

        def only_the_living() -> bool:
            text = LOCAL.get(collector.prometheus).text
            seen.append({name for name in ("living", "dead") if f"charter_{name}_total" in text})
            return "dead" not in seen[-1]

        with _meter(collector, interval_ms=500) as (meter, flush):
            # One increment, then silence: the exports repeat the value.
            meter.create_counter("charter.living").add(1)
            flush()
            with _meter(collector, instance="two") as (dying, flush_once):
                dying.create_counter("charter.dead").add(1)
                flush_once()
            wait_until(only_the_living, "the dead instance's series is gone", every=0.2)
        assert seen[0] == {"living", "dead"}
        assert all("living" in each for each in seen)


def test_collector_reports_on_itself(binary: Path, tmp_path: Path) -> None:
    """The Collector's own metrics are there to scrape, with the usual suffixes."""
    with Collector(binary, tmp_path, "base.yaml") as collector, _meter(collector) as (meter, flush):
        meter.create_counter("charter.rare").add(1)
        flush()
        text = LOCAL.get(collector.telemetry).text
    assert re.search(
        r'otelcol_receiver_accepted_metric_points_total\{.*receiver="otlp".*\} 1', text
    )
    assert "otelcol_process_memory_rss_bytes" in text


@contextmanager
def _meter(
    collector: Collector, interval_ms: float = 60_000, instance: str = "one"
) -> Iterator[tuple[Meter, "_Flush"]]:
    provider = MeterProvider(
        [
            PeriodicExportingMetricReader(
                OTLPMetricExporter(endpoint=f"{collector.http}/v1/metrics"), interval_ms
            )
        ],
        resource=Resource(
            {
                "service.name": "charter-otel",
                "service.instance.id": instance,
                "service.version": "1.2.3",
            }
        ),
        exemplar_filter=AlwaysOnExemplarFilter(),
    )
    try:
        yield provider.get_meter("charter_otel"), _Flush(provider)
    finally:
        provider.shutdown()


class _Flush:
    """Exports now."""

    def __init__(self, provider: MeterProvider) -> None:
        self._provider = provider

    def __call__(self) -> None:
        assert self._provider.force_flush()
