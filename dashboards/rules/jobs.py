"""Alerts of the aggregation job; all of a job's alerts are one incident."""

from charter_otel.metrics.jobs import JOB_ID as AGGREGATION
from charter_otel.otel import semconv
from dashboards.promql import at_most
from dashboards.rules.alert import Alert, of_label
from dashboards.rules.expressions import ERROR, HEARTBEAT, JOB_ID, grown, living, series
from dashboards.rules.thresholds import Thresholds

DASHBOARD = "charter-incidents"

_BY = f"job, {JOB_ID}"
_LABELS = {"job_id": of_label(JOB_ID)}
_NAME = f"`{of_label(JOB_ID)}`"
_TRACES = (
    f'{{ name = "{semconv.SPAN_CHARTER_JOB_RUN}" && status = error'
    f' && span.{semconv.CHARTER_JOB_ID} = "{of_label(JOB_ID)}" }}'
)


def alerts(limits: Thresholds) -> list[Alert]:
    """Return the alerts."""
    return [_failed(limits), _failing(limits), _missing(limits), _slow(limits)]


def _failures(window: str) -> str:
    runs = series(semconv.CHARTER_JOB_RUN_DURATION, f'{ERROR}!=""', part="count")
    return grown(runs, window, _BY)


def _failed(limits: Thresholds) -> Alert:
    return Alert(
        name="JobFailed",
        severity="warning",
        expr=f"{_failures(limits.job_failed_window)} > 0",
        summary=f"Job {_NAME} failed",
        description=f"A run of {_NAME} ended with an error within {limits.job_failed_window}.",
        dashboard=DASHBOARD,
        traces=_TRACES,
        labels=_LABELS,
    )


def _failing(limits: Thresholds) -> Alert:
    window, count = limits.job_repeated_window, limits.job_repeated_failures
    return Alert(
        name="JobFailingRepeatedly",
        severity="critical",
        expr=f"{_failures(window)} >= {count}",
        summary=f"Job {_NAME} fails again and again",
        description=f"{_NAME} failed {count} times or more within {window}.",
        dashboard=DASHBOARD,
        traces=_TRACES,
        labels=_LABELS,
    )


def _missing(limits: Thresholds) -> Alert:
    """Return the alert that a job does not run although the service lives.

    Where nobody is heard of, the service or the Collector is down, and that has its own alert.
    """
    success = series(semconv.CHARTER_JOB_LAST_SUCCESS)
    known = series(semconv.CHARTER_JOB_LAST_SUCCESS, f'{JOB_ID}="{AGGREGATION}"')
    after = limits.job_missing_after_s
    never = f"group by (job) ({living(HEARTBEAT)}) unless on (job) {known}"
    return Alert(
        name="JobMissing",
        severity="critical",
        expr=(
            f"time() - max by ({_BY}) ({living(success)}) > {after}\n"
            f'or label_replace({never}, "{JOB_ID}", "{AGGREGATION}", "", "")'
        ),
        summary=f"Job {_NAME} does not run",
        description=f"{_NAME} has had no successful run for {after} s, or no instance reports it.",
        dashboard=DASHBOARD,
        traces=_TRACES,
        labels=_LABELS,
        hold=limits.job_missing_for,
    )


def _slow(limits: Thresholds) -> Alert:
    completed, window = f'{ERROR}=""', limits.job_slow_window
    metric = semconv.CHARTER_JOB_RUN_DURATION
    runs = grown(series(metric, completed, part="count"), window, _BY)
    bucket = at_most(limits.job_slow_s)
    quick = grown(series(metric, completed, bucket, part="bucket"), window, _BY)
    return Alert(
        name="JobSlow",
        severity="warning",
        # increase() extrapolates both sides, not always to the same hundredth.
        expr=f"{runs} - {quick} > 0.5",
        summary=f"Job {_NAME} is slow",
        description=f"A run of {_NAME} took longer than {limits.job_slow_s:g} s.",
        dashboard="charter-analytics",
        traces=(
            f'{{ name = "{semconv.SPAN_CHARTER_JOB_RUN}" && duration > {limits.job_slow_s:g}s }}'
        ),
        labels=_LABELS,
    )
