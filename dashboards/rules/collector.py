"""Alerts of the Collector, from its own metrics, and the watchdog."""

from collections.abc import Iterable

from charter_otel.otel.semconv import Metric
from dashboards import external
from dashboards.rules.alert import Alert, of_label
from dashboards.rules.expressions import COLLECTOR_UPTIME, grown, series
from dashboards.rules.thresholds import Thresholds

DASHBOARD = "charter-pipeline"

ENQUEUE_FAILED = tuple(
    Metric(f"otelcol_exporter_enqueue_failed_{signal}", "counter", "{record}", "")
    for signal in ("log_records", "spans", "metric_points")
)
SEND_FAILED = (
    *external.SEND_FAILED,
    Metric("otelcol_exporter_send_failed_metric_points", "counter", "{record}", ""),
)


def alerts(limits: Thresholds) -> list[Alert]:
    """Return the alerts."""
    return [_refusing(limits), _discarding(limits), _queueing(limits), _down(limits), _watchdog()]


def _any(metrics: Iterable[Metric], window: str, by: str) -> str:
    return "\nor ".join(
        f"{grown(series(metric), window, by, COLLECTOR_UPTIME)} > 0" for metric in metrics
    )


def _refusing(limits: Thresholds) -> Alert:
    return Alert(
        name="CollectorRefusing",
        severity="critical",
        expr=_any(external.REFUSED, limits.collector_window, "job, instance, receiver"),
        summary="The Collector refuses data",
        description="{{ $labels.instance }} refused {{ $value | humanize }} records; senders"
        " retry for seconds, then drop.",
        dashboard=DASHBOARD,
    )


def _discarding(limits: Thresholds) -> Alert:
    failures = (*ENQUEUE_FAILED, *SEND_FAILED)
    return Alert(
        name="CollectorDiscarding",
        severity="critical",
        expr=_any(failures, limits.collector_window, "job, instance, exporter"),
        summary=f"The Collector discards data for {of_label('exporter')}",
        description="The queue is full, or the destination refused {{ $value | humanize }}"
        " records for good.",
        dashboard=DASHBOARD,
    )


def _queueing(limits: Thresholds) -> Alert:
    size = series(external.COLLECTOR_QUEUE_SIZE)
    capacity = series(external.COLLECTOR_QUEUE_CAPACITY)
    return Alert(
        name="CollectorQueueing",
        severity="warning",
        expr=f"{size} / ({capacity} > 0) > {limits.collector_queue}",
        summary=f"The Collector's queue for {of_label('exporter')} fills",
        description=f"{of_label('exporter')} ({of_label('data_type')}) is at"
        " {{ $value | humanizePercentage }} of its capacity; its destination is slow or away.",
        dashboard=DASHBOARD,
        hold=limits.collector_queue_for,
    )


def _down(limits: Thresholds) -> Alert:
    up = f'up{{job="{limits.collector_job}"}}'
    return Alert(
        name="CollectorDown",
        severity="critical",
        expr=f"{up} == 0\nor absent({up})",
        summary="The Collector does not answer",
        description="Prometheus cannot scrape it; the service's metrics, logs and traces stop.",
        dashboard=DASHBOARD,
        hold=limits.collector_down_for,
    )


def _watchdog() -> Alert:
    return Alert(
        name="Watchdog",
        severity="none",
        expr="vector(1)",
        summary="Alerting works",
        description="Fires always: if it is silent, alerting is broken.",
        dashboard=DASHBOARD,
    )
