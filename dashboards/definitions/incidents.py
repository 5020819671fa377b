"""Incidents: what is failing, since when, and which trace explains it?"""

from grafana_foundation_sdk.builders import timeseries

from charter_otel.charter import EventType
from charter_otel.otel import semconv as otel
from dashboards import external, kit, limits, logql, promql
from dashboards.definitions.fleet import robots_in
from dashboards.kit import Dashboard
from dashboards.panels import Steps, lines, number, question, ranking, rows, timeline
from dashboards.promql import aggregate, at_most, matching, metric_name, select
from dashboards.queries import Query, in_range, legend, per_step
from dashboards.rules.objectives import BURNS, OBJECTIVES

QUESTION = "What is failing, since when, and which trace explains it?"
READING = (
    "From the alert to its cause: the timeline says since when, the tables name the job or robot,"
    " and the correlation id of a row is the trace id: click it. An alert's name leads to its"
    " runbook."
)
ROBOT, REASON = otel.CHARTER_ROBOT_ID, otel.CHARTER_CONNECTION_CLOSE_REASON
RUNS, CONNECTIONS = otel.CHARTER_JOB_RUN_DURATION, otel.CHARTER_CONNECTION_DURATION
FAILED = matching(otel.ERROR_TYPE, "", "!=")
UNEXPECTED = matching(REASON, logql.EXPECTED, "!~")
SHORT = at_most(limits.SHORT_CONNECTION)
NAMED = ("alertname", "severity")
STATES = {"1": ("firing", "red")}
RED: Steps = ((1, "red"),)
ORANGE: Steps = ((1, "orange"),)


def dashboard() -> Dashboard:
    """Build the dashboard."""
    made = kit.start("charter-incidents", "Charter / Incidents", QUESTION, "10s", "now-6h")
    kit.services(kit.robots(kit.scope(made, metric_name(otel.CHARTER_EVENT_EMITTED))))
    made.with_panel(question(QUESTION, READING))
    kit.row(made, "Overview", _overview())
    kit.row(made, "Alerts", _alerts())
    kit.row(made, "Objectives", _objectives())
    kit.row(made, "Job failures", _jobs())
    kit.row(made, "Disconnects", _disconnects())
    return kit.finish(made)


def _overview() -> kit.Panels:
    firing = aggregate("count", select(external.ALERTS_FIRING))
    return [
        number("Alerts firing", "Alerts of jobs and instances that fire now.",
               Query(promql.or_zero(firing)), steps=RED),
        number("Failed runs", "Runs of the job that failed in the time range.",
               in_range(RUNS, FAILED, part="count"), steps=RED),
        number("Lost connections", "Connections that ended unexpectedly.",
               in_range(CONNECTIONS, UNEXPECTED, part="count"), steps=RED),
        number("Short connections", "Connections that ended before 60 s, in the time range.",
               in_range(CONNECTIONS, SHORT, part="bucket"), steps=ORANGE),
        number("Flapping robots", "Robots that connect and disconnect again and again: all.",
               robots_in("flapping"), steps=ORANGE),
        number("Overloaded robots", "Robots above 90 % CPU, until they are at 80 %: all.",
               robots_in("high_cpu"), steps=ORANGE),
    ]  # fmt: skip


def _alerts() -> kit.Panels:
    repeats = f"changes({select(external.ALERTS_SINCE)}[$__range])"
    fires = f"and ignoring (alertstate) {select(external.ALERTS_FIRING)}"
    since = f"time() - {select(external.ALERTS_SINCE)} {fires}"
    by = ("severity", "alertname", "job_id", "robot_id", "robots", "objective", "instance")
    names = {
        "severity": "Severity", "alertname": "Alert", "job_id": "Job", "robot_id": "Robot",
        "robots": "Robots of", "objective": "Objective", "instance": "Instance", "Value": "For",
    }  # fmt: skip
    order: dict[str, object] = {
        "excludeByName": {"Time": True},
        "indexByName": {name: at for at, name in enumerate(names)},
        "renameByName": names,
    }
    often = f"{aggregate('sum', repeats, 'alertname')} > 0"
    return [
        rows("Firing alerts", "Prometheus's alerts, critical ones first, and for how long they have"
             " been so; a name leads to its runbook.",
             Query(aggregate("max", since, *by), table=True, now=True),
             transformations=(("organize", order),), order=("Severity", False),
             columns={"For": {"unit": "s", "decimals": 0}}, width=12, height=10),
        kit.alert_list("Open alerts", "Everything that fires or is about to, Loki's too.",
                       width=12),
        timeline("Alerts over time", "When each alert of a job or an instance fired.",
                 Query(aggregate("max", select(external.ALERTS_FIRING), *NAMED), legend(*NAMED)),
                 states=STATES, width=16, height=9),
        ranking("Repeats", "How often each alert came back in the time range: one that comes and"
                " goes needs another limit, or a repair.",
                Query(f"sort_desc({often})", legend("alertname"), now=True),
                unit="locale", steps=((1, "orange"), (3, "red")), height=9),
    ]  # fmt: skip


def _objectives() -> kit.Panels:
    return [_objective(name, target, meaning) for name, target, meaning in OBJECTIVES]


def _objective(name: str, target: float, meaning: str) -> timeseries.Panel:
    """Show how much of an objective fails in each window, and from where on somebody is told."""
    which = (matching("objective", name), matching("window", "1h|6h", "=~"))
    query = aggregate("max", select(external.OBJECTIVE_ERRORS, *which), "window")
    told = tuple((burn.rate * (1 - target), "red") for burn in sorted(BURNS, key=lambda b: b.rate))
    return lines(
        f"Objective: {name}",
        f"Share that failed: {meaning}; {1 - target:.2g} may. Dashed: the budget burns"
        " 6 and 14.4 times too fast.",
        Query(query, legend("window")), unit="percentunit", steps=told, width=6,
    )  # fmt: skip


def _jobs() -> kit.Panels:
    failed = logql.events(EventType.METRICS_AGGREGATION_FAILED)
    spans = logql.failed_spans(otel.SPAN_CHARTER_JOB_RUN, otel.SPAN_CHARTER_CONNECTION)
    table = logql.table(
        {
            "Job": otel.CHARTER_JOB_ID,
            "Error": otel.CHARTER_JOB_ERROR_TYPE,
            "Message": otel.CHARTER_JOB_ERROR_MESSAGE,
            "Trace": otel.CHARTER_EVENT_CORRELATION_ID,
        }
    )
    return [
        lines("Failures by error", "Failed runs, by the exception that ended them.",
              per_step(RUNS, otel.CHARTER_JOB_ID, otel.ERROR_TYPE, where=(FAILED,), part="count"),
              stacked=True),
        rows("Failed runs by time", "Newest first, each with its message; the id leads to its"
             " trace.", Query(failed, kind="loki"), transformations=table, width=16,
             columns=logql.COLUMNS),
        rows("Failed spans", "Runs and connections that ended in an error, with robot and error.",
             Query(spans, kind="tempo"), order=("startTime", True), width=24),
    ]  # fmt: skip


def _disconnects() -> kit.Panels:
    chosen = select(otel.CHARTER_ROBOT_ONLINE, matching(ROBOT, "$robot", "=~"))
    changes = aggregate("sum", f"changes({chosen}[$__range])", ROBOT)
    told = logql.table(
        {
            "Robot": ROBOT,
            "Reason": REASON,
            "Duration": otel.CHARTER_CONNECTION_DURATION_SECONDS,
            "Trace": otel.CHARTER_EVENT_CORRELATION_ID,
        }
    )
    return [
        lines("Lost connections by reason", "Unexpected ends, by close reason.",
              per_step(CONNECTIONS, REASON, where=(UNEXPECTED,), part="count"), stacked=True,
              height=10),
        ranking("Presence changes", "The ten robots whose presence changed most often in the"
                " time range.",
                Query(f"topk(10, {changes} > 1)", legend(ROBOT), now=True),
                unit="locale", steps=((6, "orange"), (30, "red")), width=4),
        rows("Disconnects", "Unexpected ends, newest first; the id leads to the trace.",
             Query(logql.lost_connections(), kind="loki"), transformations=told,
             columns=logql.COLUMNS, width=12, height=10),
    ]  # fmt: skip
