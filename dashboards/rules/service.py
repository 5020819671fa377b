"""Alerts of the service itself: whether it lives, by its own heartbeat."""

from dashboards import external
from dashboards.promql import GROUPS, metric_name
from dashboards.rules.alert import Alert
from dashboards.rules.expressions import (
    COLLECTOR_UPTIME,
    HEARTBEAT,
    INTERVAL,
    gone,
    living,
    silent,
)
from dashboards.rules.thresholds import Thresholds

DASHBOARD = "charter-pipeline"
NAME = "ServiceDown"
_ALIVE = f"({living(HEARTBEAT)})"

CAUSES = (
    NAME,
    "StreamUnreachable",
    "FleetDisconnected",
    "SiteDisconnected",
    "GroupDisconnected",
)
"""Alerts from which others follow, also after they are over."""


def rules(limits: Thresholds) -> list[dict[str, str]]:
    """Return the recording rules, which come before the alerts that use them."""
    del limits
    return [{"record": metric_name(external.INSTANCES_GONE), "expr": gone()}]


def alerts(limits: Thresholds) -> list[Alert]:
    """Return the alerts."""
    return [_all(limits), _instance(limits), _inhibitor(limits)]


def _all(limits: Thresholds) -> Alert:
    """Return the alert that nobody answers, for any reason and for as long as it is so.

    A killed service is told at once. One that was stopped in an orderly way has two minutes to come
    back. A Collector that has just been started cannot say which services are missing.
    """
    memory = limits.service_memory
    spoke = f"max by (job) (max_over_time({HEARTBEAT}[{memory}]))"
    pause = f"{limits.service_absent_s} + 3 * max by (job) (max_over_time({INTERVAL}[{memory}]))"
    listening = f"max({COLLECTOR_UPTIME}) > {limits.service_absent_s}"
    return Alert(
        name=NAME,
        severity="critical",
        expr=(
            f"(\n"
            f"  group by (job) ({silent()})\n"
            f"  or time() - {spoke} > {pause} and on () {listening}\n"
            f")\n"
            f"unless on (job) {_ALIVE}\n"
            f"or absent({spoke}) and on () {listening}"
        ),
        summary="The service is down: no instance sends a heartbeat",
        description="No robot is served and no job runs. Dashboards show the service's last state.",
        dashboard=DASHBOARD,
        hold=limits.service_for,
    )


def _instance(limits: Thresholds) -> Alert:
    return Alert(
        name=NAME,
        severity="warning",
        expr=f"max by (job, instance) ({silent()}) and on (job) {_ALIVE}",
        summary="An instance of the service is down: {{ $labels.instance }}",
        description="{{ $labels.instance }} sends no heartbeat and did not say that it would"
        " stop; others of its service do. Its robots connect to those.",
        dashboard=DASHBOARD,
        hold=limits.service_for,
    )


def _inhibitor(limits: Thresholds) -> Alert:
    """Return the alerts that page nobody: the causes that hold back other pages.

    A stream that is about to be unreachable counts already: the runs that fail for it are told of
    sooner than itself.
    """
    names = "|".join(CAUSES)
    fired = f'ALERTS{{alertname=~"{names}", alertstate="firing"}}[{limits.aftermath}]'
    about = f'ALERTS{{alertname="StreamUnreachable", alertstate="pending"}}[{limits.prelude}]'
    by = ", ".join(("alertname", *GROUPS.values()))
    causes = f"max by ({by}) (max_over_time({fired}) or max_over_time({about}))"
    return inhibitor(
        limits.aftermath, f'label_replace({causes}, "cause", "$1", "alertname", "(.*)")'
    )


def inhibitor(aftermath: str, expr: str) -> Alert:
    """Return an alert that pages nobody; its label ``cause`` says what holds back other pages."""
    return Alert(
        name="OutageInhibitor",
        severity="none",
        expr=expr,
        summary="Something that explains other alerts is down, or was a moment ago",
        description="{{ $labels.cause }} is so, or was within"
        f" {aftermath}. Pages nobody: Alertmanager holds back alerts that follow.",
        dashboard="charter-incidents",
    )
