"""Every configuration and every overlay runs, and sends each signal where the vendor wants it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from collector.harness import VENDORS, Collector
from collector.standin import StandIn
from support.http import LOCAL
from support.polling import wait_until

KEY = "stand-in-key"


@dataclass(frozen=True)
class Case:
    """A vendor's overlay: the variables that it reads, and the data that must reach the vendor."""

    env: dict[str, str]
    headers: dict[str, str]
    traces: str = "/v1/traces"
    metrics: str | None = "/v1/metrics"
    logs: str = "/v1/logs"
    delta: bool = False


CASES = {
    "otlp": Case(
        {"CHARTER_OTLP_ENDPOINT": "{url}", "CHARTER_OTLP_AUTHORIZATION": f"Bearer {KEY}"},
        {"authorization": f"Bearer {KEY}"},
    ),
    "loki-tempo": Case(
        {"CHARTER_LOKI_ENDPOINT": "{url}", "CHARTER_TEMPO_ENDPOINT": "{url}"},
        {},
        metrics=None,
        logs="/otlp/v1/logs",
    ),
    "grafana-cloud": Case(
        {"GRAFANA_CLOUD_OTLP_ENDPOINT": "{url}/otlp", "GRAFANA_CLOUD_OTLP_TOKEN": KEY},
        {"authorization": f"Basic {KEY}"},
        traces="/otlp/v1/traces",
        metrics="/otlp/v1/metrics",
        logs="/otlp/v1/logs",
    ),
    "datadog": Case(
        {"DATADOG_OTLP_ENDPOINT": "{url}", "DD_API_KEY": KEY},
        {"dd-api-key": KEY, "dd-otlp-source": "datadog", "compute_stats": "true"},
        delta=True,
    ),
    "honeycomb": Case(
        {"HONEYCOMB_ENDPOINT": "{url}", "HONEYCOMB_API_KEY": KEY},
        {"x-honeycomb-team": KEY},
    ),
    "new-relic": Case(
        {"NEW_RELIC_OTLP_ENDPOINT": "{url}", "NEW_RELIC_LICENSE_KEY": KEY},
        {"api-key": KEY},
    ),
    "splunk": Case(
        {
            "SPLUNK_INGEST_URL": "{url}",
            "SPLUNK_ACCESS_TOKEN": KEY,
            "SPLUNK_LOGS_OTLP_ENDPOINT": "{url}",
        },
        {"x-sf-token": KEY},
        traces="/v2/trace/otlp",
        metrics="/v2/datapoint/otlp",
    ),
    "dynatrace": Case(
        {"DYNATRACE_ENDPOINT": "{url}", "DYNATRACE_API_TOKEN": KEY},
        {"authorization": f"Api-Token {KEY}"},
        traces="/api/v2/otlp/v1/traces",
        metrics="/api/v2/otlp/v1/metrics",
        logs="/api/v2/otlp/v1/logs",
        delta=True,
    ),
    "elastic": Case(
        {"ELASTIC_OTLP_ENDPOINT": "{url}", "ELASTIC_API_KEY": KEY},
        {"authorization": f"ApiKey {KEY}"},
    ),
}


def test_each_overlay_has_a_case() -> None:
    """No overlay goes untested."""
    assert sorted(CASES) == VENDORS


def test_base_runs_alone(binary: Path, tmp_path: Path) -> None:
    """Without a vendor, metrics are there to scrape and logs and traces reach the console."""
    with Collector(binary, tmp_path, "base.yaml") as collector:
        collector.validate()
        with _sdk(collector) as send:
            send()
        wait_until(lambda: "charter_test_total" in LOCAL.get(collector.prometheus).text, "metric")
        wait_until(lambda: '"log records": 1' in collector.log, "the log on the console")
        wait_until(lambda: '"spans": 1' in collector.log, "the span on the console")
        assert _complaints(collector) == []


@pytest.mark.parametrize("name", VENDORS)
def test_vendor_gets_all_signals(binary: Path, tmp_path: Path, vendor: StandIn, name: str) -> None:
    """Each signal reaches the vendor's path, with its headers, holding what was sent."""
    case = CASES[name]
    env = {key: value.format(url=vendor.url) for key, value in case.env.items()}
    with Collector(binary, tmp_path, "base.yaml", f"vendors/{name}.yaml", **env) as collector:
        collector.validate()
        with _sdk(collector) as send:
            send()
            wait_until(vendor.records, "a log record")
            wait_until(vendor.spans, "a span")
            # A delta needs two values.
            send()
        if case.metrics:
            wait_until(vendor.metrics, "a metric")
        scraped = LOCAL.get(collector.prometheus).text
        assert _complaints(collector) == []

    assert vendor.records()[0].event_name == "metrics.aggregation_completed"
    assert vendor.records()[0].severity_number == SeverityNumber.INFO.value
    assert vendor.spans()[0].name == "charter.job.run"
    assert "charter_test_total" in scraped
    assert {request.path for request in vendor.requests} == {
        path for path in (case.traces, case.metrics, case.logs) if path
    }
    for request in vendor.requests:
        assert request.headers["content-type"] == "application/x-protobuf"
        if name == "splunk" and request.path == case.logs:
            continue  # the platform behind it has a token of its own
        assert case.headers.items() <= request.headers.items()
        dataset = "charter-metrics" if request.path == case.metrics else None
        assert name != "honeycomb" or request.headers.get("x-honeycomb-dataset") == dataset
    if case.metrics:
        metric = vendor.metrics()[0]
        assert metric.name == "charter.test"
        delta = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        assert (metric.sum.aggregation_temporality == delta) is case.delta


@contextmanager
def _sdk(collector: Collector) -> Iterator["_Send"]:
    resource = Resource({"service.name": "charter-otel", "service.instance.id": "one"})
    traces, logs = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    traces.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{collector.http}/v1/traces"))
    )
    logs.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{collector.http}/v1/logs"))
    )
    exporter = OTLPMetricExporter(endpoint=f"{collector.http}/v1/metrics")
    metrics = MeterProvider([PeriodicExportingMetricReader(exporter)], resource=resource)
    try:
        yield _Send(traces, logs, metrics)
    finally:
        traces.shutdown()
        logs.shutdown()
        metrics.shutdown()


class _Send:
    """Sends one log record, one span and one increment of a counter through real exporters."""

    def __init__(
        self, traces: TracerProvider, logs: LoggerProvider, metrics: MeterProvider
    ) -> None:
        self._providers = (traces, logs, metrics)
        self._tracer = traces.get_tracer("charter_otel")
        self._logger = logs.get_logger("charter_otel")
        self._counter = metrics.get_meter("charter_otel").create_counter("charter.test")

    def __call__(self) -> None:
        with self._tracer.start_as_current_span("charter.job.run"):
            self._logger.emit(
                event_name="metrics.aggregation_completed",
                severity_number=SeverityNumber.INFO,
                attributes={"charter.job.id": "aggregate_mission_metrics"},
            )
        self._counter.add(1)
        for provider in self._providers:
            assert provider.force_flush()


def _complaints(collector: Collector) -> list[str]:
    """Return the Collector's warnings: deprecated names, empty variables, failed exports."""
    return [
        line for line in collector.log.splitlines() if "\twarn\t" in line or "\terror\t" in line
    ]
