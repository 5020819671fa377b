"""Alerts that Loki raises from the events' own records.

They know what metrics do not: which run failed and why, which robot was lost, and the trace of it.
"""

from charter_otel.charter import EventType
from charter_otel.charter.robots import SIMULATED_PATTERN
from charter_otel.otel import semconv
from dashboards.logql import EVENT_TYPE, filtered, unexpected
from dashboards.promql import GROUPS, label
from dashboards.rules.alert import Alert, of_label
from dashboards.rules.expressions import JOB_ID, REASON, ROBOT_ID
from dashboards.rules.thresholds import Thresholds

_CORRELATION = label(semconv.CHARTER_EVENT_CORRELATION_ID)
_ERROR_TYPE = label(semconv.CHARTER_JOB_ERROR_TYPE)
_ERROR_MESSAGE = label(semconv.CHARTER_JOB_ERROR_MESSAGE)
_TIME = label(semconv.CHARTER_EVENT_TIMESTAMP)
DASHBOARD = "charter-incidents"


def alerts(limits: Thresholds) -> list[Alert]:
    """Return the alerts."""
    return [_job(limits), _robot(limits)]


def _newest(limits: Thresholds, window: str, by: tuple[str, ...], *stages: str) -> str:
    """Return the newest record for each value of the first label, with all the labels.

    One alert for each job or robot, however often it failed: a page for every failure would hide
    the trace of the last one among those of the others.
    """
    selected = " | ".join((f'{{service_name="{limits.service}"}}', *stages, f"unwrap {_TIME}"))
    return (
        f"topk by ({by[0]}) (1,\n"
        f"  max_over_time({selected} [{window}])\n"
        f"    by ({', '.join(by)})\n"
        ") > 0"
    )


def _job(limits: Thresholds) -> Alert:
    failed = f'{EVENT_TYPE}="{EventType.METRICS_AGGREGATION_FAILED}"'
    by = (JOB_ID, _ERROR_TYPE, _ERROR_MESSAGE, _CORRELATION)
    return Alert(
        name="JobRunFailed",
        severity="warning",
        expr=_newest(limits, limits.job_failed_window, by, failed),
        summary=f"Job `{of_label(JOB_ID)}` failed with {of_label(_ERROR_TYPE)}",
        description=f"{of_label(_ERROR_TYPE)}: {of_label(_ERROR_MESSAGE)}"
        f" (correlation id {of_label(_CORRELATION)})",
        dashboard=DASHBOARD,
        traces=of_label(_CORRELATION),
        labels={"job_id": of_label(JOB_ID)},
    )


def _robot(limits: Thresholds) -> Alert:
    closed = f'{EVENT_TYPE}="{EventType.TELEMETRY_CONNECTION_CLOSED}"'
    real = filtered(semconv.CHARTER_CONNECTION_ID, SIMULATED_PATTERN, "!~")
    by = (ROBOT_ID, REASON, _CORRELATION, *GROUPS.values())
    return Alert(
        name="RobotDisconnected",
        severity="warning",
        expr=_newest(limits, limits.disconnects_window, by, closed, unexpected(), real),
        summary=f"Robot `{of_label(ROBOT_ID)}` lost its connection: {of_label(REASON)}",
        description=f"The connection of `{of_label(ROBOT_ID)}` ended with {of_label(REASON)}"
        f" (correlation id {of_label(_CORRELATION)})",
        dashboard=DASHBOARD,
        traces=of_label(_CORRELATION),
        variables={"robot": of_label(ROBOT_ID)},
        labels={"robot_id": of_label(ROBOT_ID)},
    )
