"""Audit: when was a robot connected, for how long, and why did it end?"""

from charter_otel.charter import EventType
from charter_otel.otel import semconv as otel
from dashboards import kit, limits, logql
from dashboards.kit import Dashboard
from dashboards.logql import count, events, filtered, number_of
from dashboards.panels import NEUTRAL, Steps, lines, number, question, records, rows
from dashboards.promql import OF_GROUPS
from dashboards.queries import Query, legend

QUESTION = "When was a robot connected, for how long, and why did it end?"
READING = (
    "Choose the robots above. A correlation id, from an alert, a log line or a trace, finds every"
    " event of its unit of work. What has to prove something is the hash-chained audit log"
    " (`charter-otel audit verify`); this is its convenient copy, by way of Loki."
)
ROBOT, CONNECTION = otel.CHARTER_ROBOT_ID, otel.CHARTER_CONNECTION_ID
REASON, CORRELATION = otel.CHARTER_CONNECTION_CLOSE_REASON, otel.CHARTER_EVENT_CORRELATION_ID
SECONDS, TYPE = otel.CHARTER_CONNECTION_DURATION_SECONDS, otel.CHARTER_EVENT_TYPE
CHOSEN = (filtered(ROBOT, "$robot"), *OF_GROUPS)
BEGAN = events(EventType.TELEMETRY_CONNECTION_ESTABLISHED, where=CHOSEN)
ENDED = events(EventType.TELEMETRY_CONNECTION_CLOSED, where=CHOSEN)
BROKE = events(EventType.TELEMETRY_CONNECTION_CLOSED, where=(*CHOSEN, logql.unexpected()))
FOUND = events(
    where=(filtered(CORRELATION, "$correlation"), logql.of_robot_or_job("$robot"), *OF_GROUPS),
)
WHO, TRACE = {"Robot": ROBOT, "Connection": CONNECTION}, {"Trace": CORRELATION}
BRIEF: Steps = ((0, "orange"), (limits.SHORT_CONNECTION, "green"))


def dashboard() -> Dashboard:
    """Build the dashboard."""
    made = kit.start("charter-audit", "Charter / Audit", QUESTION, "1m", "now-24h", first="loki")
    kit.robots(kit.groups(kit.places(kit.services(made))), matchers="")
    made.with_variable(kit.text_variable("correlation", ".*"))
    made.with_panel(question(QUESTION, READING))
    kit.row(made, "Overview", _overview())
    kit.row(made, "Connections", _connections())
    kit.row(made, "Every event", _every_event())
    return kit.finish(made)


def _overview() -> kit.Panels:
    return [
        number("Established", "Connections that began in the time range.",
               _asked(number_of(BEGAN)), width=6),
        number("Closed", "Connections that ended in the time range.",
               _asked(number_of(ENDED)), width=6),
        number("Closed unexpectedly", "Connections that ended unexpectedly.",
               _asked(number_of(BROKE)), steps=((0, NEUTRAL), (1, "red")), width=6),
        number("Mean duration", "Of the connections that ended; below 60 s orange.",
               _asked(logql.mean(ENDED, SECONDS)), unit="s", steps=BRIEF, decimals=1, width=6),
    ]  # fmt: skip


def _connections() -> kit.Panels:
    longest = logql.unwrapped("max_over_time", ENDED, SECONDS)
    return [
        rows("Connections that ended", "One row each; the correlation id leads to the trace.",
             _asked(ENDED), columns=logql.COLUMNS, width=24, height=12,
             transformations=logql.table(WHO | {"Duration": SECONDS, "Reason": REASON} | TRACE)),
        lines("Ends by reason", "Connections that ended, by close reason.",
              _counted(count(ENDED, REASON), legend(REASON)), stacked=True, width=12),
        lines("Longest connection", "The longest of those that ended at a time.",
              _asked(longest, "longest"), unit="s", logarithmic=True, width=12),
        rows("Connections that began", "One row each; one without an end above is still open.",
             _asked(BEGAN), transformations=logql.table(WHO | TRACE), columns=logql.COLUMNS,
             width=24),
    ]  # fmt: skip


def _every_event() -> kit.Panels:
    line = logql.line(FOUND, ROBOT, otel.CHARTER_JOB_ID, REASON, CORRELATION)
    return [
        lines("Events by type", "Numbers of events of each type.",
              _counted(count(FOUND, TYPE), legend(TYPE)), stacked=True, height=10),
        records("Events", "Of the chosen robots, or with this correlation id; newest first.",
                _asked(line), width=16, height=10),
    ]  # fmt: skip


def _asked(expression: str, legend: str = "") -> Query:
    return Query(expression, legend, "loki")


def _counted(expression: str, legend: str) -> Query:
    return Query(expression, legend, "loki", bars=True)
