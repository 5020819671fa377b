"""Incidents: what is failing, since when, and which trace explains it?"""

from charter_otel.charter import EventType
from charter_otel.otel import semconv as otel
from dashboards import external, kit, limits, logql
from dashboards.kit import Dashboard
from dashboards.panels import Steps, lines, number, question, ranking, records, rows, timeline
from dashboards.promql import aggregate, at_most, matching, metric_name, or_zero, select
from dashboards.queries import Query, in_range, legend, level, per_step

QUESTION = "What is failing, since when, and which trace explains it?"
READING = (
    "From the alert to its cause: the timeline says since when, the tables name the job or robot,"
    " and the correlation id of a row is the trace id: click it. The alert links to its runbook."
)
ROBOT, REASON = otel.CHARTER_ROBOT_ID, otel.CHARTER_CONNECTION_CLOSE_REASON
RUNS, CONNECTIONS = otel.CHARTER_JOB_RUN_DURATION, otel.CHARTER_CONNECTION_DURATION
BATTERY, CPU = otel.CHARTER_ROBOT_BATTERY_CHARGE, otel.CHARTER_ROBOT_CPU_UTILIZATION
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
    kit.row(made, "Job failures", _jobs())
    kit.row(made, "Disconnects", _disconnects())
    return kit.finish(made)


def _overview() -> kit.Panels:
    low = f"{select(BATTERY)} < {limits.LOW_BATTERY}"
    high = f"{select(CPU)} > {limits.HIGH_CPU}"
    firing = level("count", external.ALERTS_FIRING)
    return [
        number("Alerts firing", "Alerts of jobs and instances that fire now.",
               Query(or_zero(firing.expression)), steps=RED),
        number("Runs failed", "Runs of the job that failed in the time range.",
               in_range(RUNS, FAILED, part="count"), steps=RED, decimals=0),
        number("Unexpected disconnects", "Connections that ended in a way that nobody meant.",
               in_range(CONNECTIONS, UNEXPECTED, part="count"), steps=RED, decimals=0),
        number("Short connections", "Connections that ended before 60 s, in the time range.",
               in_range(CONNECTIONS, SHORT, part="bucket"), steps=ORANGE, decimals=0),
        number("Robots low on battery", "Connected robots below 20 %.",
               Query(or_zero(aggregate("count", low))), steps=ORANGE),
        number("Robots overloaded", "Connected robots above 90 % CPU.",
               Query(or_zero(aggregate("count", high))), steps=ORANGE),
    ]  # fmt: skip


def _alerts() -> kit.Panels:
    repeats = f"changes({select(external.ALERTS_SINCE)}[$__range])"
    return [
        kit.alert_list("Open alerts", "Everything that fires or is about to, of the whole fleet.",
                       width=8),
        timeline("Alerts over time", "When each alert of a job or an instance fired.",
                 level("max", external.ALERTS_FIRING, *NAMED), states=STATES, width=8),
        ranking("Repeats", "How often each alert came back in the time range: one that comes and"
                " goes needs another limit, or a repair.",
                Query(aggregate("sum", repeats, "alertname"), legend("alertname"), now=True),
                unit="short", steps=((1, "orange"), (3, "red"))),
    ]  # fmt: skip


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
        rows("Failed runs", "Each with its message; the correlation id leads to its trace.",
             Query(failed, kind="loki"), transformations=table, width=16),
        rows("Failed traces", "Runs and connections whose span ended in an error.",
             Query(spans, kind="tempo"), width=24),
    ]  # fmt: skip


def _disconnects() -> kit.Panels:
    ended = logql.events(EventType.TELEMETRY_CONNECTION_CLOSED, where=(logql.unexpected(),))
    chosen = select(otel.CHARTER_ROBOT_ONLINE, matching(ROBOT, "$robot", "=~"))
    changes = aggregate("sum", f"changes({chosen}[$__range])", ROBOT)
    told = logql.line(
        ended, ROBOT, REASON, otel.CHARTER_CONNECTION_DURATION_SECONDS, otel.CHARTER_CONNECTION_ID
    )
    return [
        lines("Unexpected disconnects by reason", "Ends that nobody meant, by close reason.",
              per_step(CONNECTIONS, REASON, where=(UNEXPECTED,), part="count"), stacked=True),
        ranking("Flapping robots", "The ten whose presence changed most often in the time range;"
                " six times within ten minutes is an alert.",
                Query(f"topk(10, {changes})", legend(ROBOT), now=True),
                unit="short", steps=((6, "orange"), (30, "red"))),
        records("Disconnects", "Ends that nobody meant, newest first.", Query(told, kind="loki"),
                width=8),
    ]  # fmt: skip
