"""Service-level objectives: what share may fail, and how fast that budget burns.

An alert needs a long window, so that a moment pages nobody, and a short one, so that it ends when
the trouble does: https://sre.google/workbook/alerting-on-slos/
"""

from typing import Any, NamedTuple

from charter_otel.otel import semconv
from dashboards import external, limits
from dashboards.promql import at_most, label, matching, metric_name
from dashboards.rules.alert import Alert
from dashboards.rules.expressions import (
    COLLECTOR_UPTIME,
    HEARTBEAT,
    grown,
    living,
    robots_in,
    series,
)
from dashboards.rules.service import CAUSES
from dashboards.rules.thresholds import Thresholds

DASHBOARD = "charter-incidents"
WINDOWS = ("5m", "30m", "1h", "6h")
FEWEST = 20
"""Events that a window needs to say anything: one failure of three is not a burning budget."""

_EVERYWHERE = {"instance": "all"}
"""Of no instance, which `instance=~".+"` of a panel would hide."""
_ERRORS = metric_name(external.OBJECTIVE_ERRORS)
_BUDGET = metric_name(external.OBJECTIVE_BUDGET)
_AVAILABILITY = metric_name(external.AVAILABILITY)
_OUTCOME = semconv.CHARTER_HANDSHAKE_OUTCOME
_SERVICES_FAULT = "accepted|error|too_many_connections"
"""Outcomes of handshakes that the service answers for; the others are the client's."""


class Objective(NamedTuple):
    """Service-level objectives: the share of good ones, and of which events."""

    name: str
    target: float
    meaning: str


class Burn(NamedTuple):
    """A rate at which a budget burns, and the alert that it raises."""

    name: str
    rate: float
    long: str
    short: str
    severity: Any
    spent: str


OBJECTIVES = (
    Objective("handshakes", limits.SET.handshakes_objective, "handshakes answered within 1 s"),
    Objective("events", limits.SET.events_objective, "events handled within 5 s"),
    Objective("job", limits.SET.job_objective, "slots of jobs that completed"),
    Objective("robots", limits.SET.robots_objective, "time that robots were connected"),
)
BURNS = (
    Burn("ErrorBudgetBurningFast", 14.4, "1h", "5m", "critical", "2 % of a month's within an hour"),
    Burn("ErrorBudgetBurningSlowly", 6, "6h", "30m", "warning", "5 % of a month's within 6 hours"),
)


def rules(limits: Thresholds) -> list[dict[str, Any]]:
    """Return the recording rules."""
    made: list[dict[str, Any]] = [
        {
            "record": _BUDGET,
            "expr": f"vector({1 - o.target:.6g})",
            "labels": {"objective": o.name, **_EVERYWHERE},
        }
        for o in OBJECTIVES
    ]
    made.append(
        {"record": _AVAILABILITY, "expr": _availability(limits), "labels": dict(_EVERYWHERE)}
    )
    for window in WINDOWS:
        for name, expression in _errors(window).items():
            recorded = {"objective": name, "window": window, **_EVERYWHERE}
            made.append({"record": _ERRORS, "expr": expression, "labels": recorded})
    return made


def alerts(limits: Thresholds) -> list[Alert]:
    """Return the alerts."""
    return [_burning(burn, limits) for burn in BURNS]


def _burning(burn: Burn, limits: Thresholds) -> Alert:
    """Return the alert of a budget that burns without a known cause within the short window."""
    causes = f'ALERTS{{alertname=~"{"|".join(CAUSES)}", alertstate="firing"}}[{burn.short}]'
    much = f"on (objective) group_left () ({burn.rate} * {_BUDGET})"
    by = "max by (job, objective)"
    return Alert(
        name=burn.name,
        severity=burn.severity,
        expr=(
            f'{by} ({_ERRORS}{{window="{burn.long}"}} > {much})\n'
            f'and {by} ({_ERRORS}{{window="{burn.short}"}} > {much})\n'
            f"unless on () max_over_time({causes})"
        ),
        summary="The error budget of {{ $labels.objective }} burns",
        description="{{ $value | humanizePercentage }} failed the objective of"
        f" {{{{ $labels.objective }}}} within {burn.long}: {burn.spent}.",
        dashboard=DASHBOARD,
        hold=limits.burning_for,
    )


def _errors(window: str) -> dict[str, str]:
    """Return the share that failed each objective within a window."""
    return {
        "handshakes": _handshakes(window),
        "events": _events(window),
        "job": _job(window),
        "robots": f"1 - avg_over_time({_AVAILABILITY}[{window}])",
    }


def _handshakes(window: str) -> str:
    metric = semconv.CHARTER_HANDSHAKE_DURATION
    every = series(metric, matching(_OUTCOME, _SERVICES_FAULT, "=~"), part="count")
    in_time = at_most(limits.HANDSHAKE_IN_TIME)
    good = series(metric, matching(_OUTCOME, "accepted"), in_time, part="bucket")
    return _bad(grown(good, window, "job"), grown(every, window, "job"))


def _events(window: str) -> str:
    metric = semconv.CHARTER_SUBSCRIBER_CRITICAL_TIME
    good = series(metric, at_most(limits.EVENT_IN_TIME), part="bucket")
    return _bad(grown(good, window, "job"), grown(series(metric, part="count"), window, "job"))


def _job(window: str) -> str:
    runs = series(semconv.CHARTER_JOB_RUN_DURATION, part="count")
    completed = series(semconv.CHARTER_JOB_RUN_DURATION, 'error_type=""', part="count")
    reason = label(semconv.CHARTER_JOB_SKIP_REASON)
    skipped = series(semconv.CHARTER_JOB_RUN_SKIPPED, f'{reason}!="elsewhere"')
    ran = grown(runs, window, "job")
    every = f"({ran} + ({grown(skipped, window, 'job')} or 0 * {ran}))"
    return _bad(grown(completed, window, "job"), every, least=2)


def _bad(good: str, every: str, *, least: int = FEWEST) -> str:
    return f"1 - ({good} or 0 * {every}) / ({every} >= {least})"


def _availability(limits: Thresholds) -> str:
    """Return the share of robots that are connected of those that want to be.

    Those that left on purpose want no connection. Where nobody lives, nobody is connected: it is 0
    as long as somebody lived within the last hour, and a Collector runs that would hear of it.
    """
    online = f"sum by (job) ({living(series(semconv.CHARTER_CONNECTION_ACTIVE))})"
    missed = (
        f"group by (job) (max_over_time({HEARTBEAT}[1h]) > 0) unless on (job) ({living(HEARTBEAT)})"
        f" and on () max({COLLECTOR_UPTIME}) > {limits.service_absent_s}"
    )
    return f"{online} / (({online} + {robots_in('lost')}) > 0)\nor 0 * ({missed})"
