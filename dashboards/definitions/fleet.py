"""Fleet overview: is the fleet connected and the job running, right now?"""

from charter_otel.otel import semconv as otel
from charter_otel.otel.semconv import Metric
from dashboards import kit, limits, promql, queries
from dashboards.panels import Steps, lines, number, question, ranking, rows, steps_of, timeline
from dashboards.promql import aggregate, grown, increase, label, matching, select, total
from dashboards.queries import Query, extremes, legend, level, per_second, percentile, percentiles

QUESTION = "Is the fleet connected and the job running, right now?"
READING = (
    "Green in the first row means yes. Red: *Incidents* says what fails and which trace explains"
    " it. No data at all: *Pipeline health* says where it stops."
)
ROBOT, JOB, ROUTE = otel.CHARTER_ROBOT_ID, otel.CHARTER_JOB_ID, otel.HTTP_ROUTE
CPU, BATTERY = otel.CHARTER_ROBOT_CPU_UTILIZATION, otel.CHARTER_ROBOT_BATTERY_CHARGE
RUNS, REQUESTS = otel.CHARTER_JOB_RUN_DURATION, otel.HTTP_SERVER_REQUEST_DURATION
CHOSEN = matching(ROBOT, "$robot", "=~")
CHARGE: Steps = ((0, "red"), (limits.LOW_BATTERY, "orange"), (0.4, "green"))
LOAD: Steps = ((0.75, "orange"), (limits.HIGH_CPU, "red"))
SLOW: Steps = ((limits.SLOW_JOB, "red"),)
PRESENCE = {"0": ("offline", "dark-red"), "1": ("online", "green")}
OUTCOMES = {"0": ("idle", "transparent"), "1": ("completed", "green"), "2": ("failed", "red")}
READINGS: dict[str, tuple[Metric, dict[str, object]]] = {
    "CPU": (CPU, {"unit": "percentunit", "thresholds": steps_of(LOAD)}),
    "Memory": (otel.CHARTER_ROBOT_MEMORY_UTILIZATION, {"unit": "percentunit"}),
    "Battery": (BATTERY, {"unit": "percentunit", "thresholds": steps_of(CHARGE)}),
    "Latency": (otel.CHARTER_ROBOT_NETWORK_LATENCY, {"unit": "s"}),
}


def dashboard() -> kit.Dashboard:
    """Build the dashboard."""
    made = kit.start("charter-fleet", "Charter / Fleet overview", QUESTION, "5s", "now-15m")
    kit.robots(kit.scope(made, promql.metric_name(otel.CHARTER_CONNECTION_ACTIVE)))
    made.with_panel(question(QUESTION, READING))
    kit.row(made, "Overview", _overview())
    kit.row(made, "Jobs", _jobs())
    kit.row(made, "Robots", _robots())
    kit.row(made, "Traffic", _traffic())
    return kit.finish(made)


def _overview() -> kit.Panels:
    offline = (matching(otel.CHARTER_ROBOT_STATUS, "offline"),)
    success = aggregate("max", select(otel.CHARTER_JOB_LAST_SUCCESS), JOB)
    return [
        number("Connections", "WebSocket connections that are open, over all instances.",
               level("sum", otel.CHARTER_CONNECTION_ACTIVE)),
        number("Robots offline", "Robots that are known and hold no connection.",
               level("sum", otel.CHARTER_ROBOT_COUNT, where=offline), steps=((1, "orange"),)),
        number("Lowest battery", "Of the connected robots; below 20 % one needs its dock.",
               level("min", BATTERY), unit="percentunit", steps=CHARGE, decimals=0),
        number("Since the last good run", "The job runs every 30 s: after two misses it is red.",
               Query(f"time() - {success}", legend(JOB)), unit="s",
               steps=((60, "orange"), (90, "red")), decimals=0),
        number("Slowest runs", "99th percentile of the runs' duration; the limit is 5 s.",
               percentile(0.99, RUNS), unit="s", steps=SLOW),
        number("Events", "Charter events per second, over all types.",
               per_second(otel.CHARTER_EVENT_EMITTED), unit="cps"),
    ]  # fmt: skip


def _jobs() -> kit.Panels:
    failed = grown(RUNS, matching(otel.ERROR_TYPE, "", "!="), part="count", over="$__rate_interval")
    ran = f"({total(increase(RUNS, part='count'), JOB)} > bool 0)"
    outcome = f"{ran} + (({total(failed, JOB)} > bool 0) or 0 * {ran})"
    return [
        timeline("Runs", "Whether the runs of each job completed or failed.",
                 Query(outcome, legend(JOB)), states=OUTCOMES, width=8),
        lines("Duration of runs", "From start to end; dashed: 5 s. Dots lead to traces.",
              *percentiles(RUNS), unit="s", steps=SLOW),
        lines("Mission entries", "Entries that the job aggregated, per second, by status.",
              per_second(otel.CHARTER_MISSION_ENTRIES, otel.CHARTER_MISSION_STATUS),
              unit="cps", stacked=True),
    ]  # fmt: skip


def _robots() -> kit.Panels:
    columns = {f"Value #{ref}": name for ref, name in zip("ABCD", READINGS, strict=True)}
    order = {"excludeByName": {"Time": True}, "renameByName": {label(ROBOT): "Robot", **columns}}
    latest = [level("max", metric, ROBOT, where=(CHOSEN,)) for metric, _ in READINGS.values()]
    return [
        timeline("Presence", "When each robot held a connection; pages of twenty.",
                 level("max", otel.CHARTER_ROBOT_ONLINE, ROBOT, where=(CHOSEN,)), states=PRESENCE),
        rows("Readings", "The last readings of each connected robot; a robot leads to its history.",
             *(Query(query.expression, now=True, table=True) for query in latest),
             transformations=(("merge", {}), ("organize", order)),
             columns={name: properties for name, (_, properties) in READINGS.items()}),
        ranking("Emptiest batteries", "The ten lowest charges; red below 20 %.",
                extremes("bottomk", BATTERY, ROBOT, CHOSEN), unit="percentunit", steps=CHARGE,
                maximum=1, width=12),
        ranking("Busiest processors", "The ten highest CPU utilizations; red from 90 %.",
                extremes("topk", CPU, ROBOT, CHOSEN), unit="percentunit", steps=LOAD,
                maximum=1, width=12),
    ]  # fmt: skip


def _traffic() -> kit.Panels:
    errors = matching(otel.HTTP_RESPONSE_STATUS_CODE, "5..", "=~")
    return [
        lines("Frames", "Frames from robots per second, by what became of them.",
              per_second(otel.CHARTER_FRAME_RECEIVED, otel.CHARTER_FRAME_OUTCOME),
              unit="cps", stacked=True, width=6),
        lines("Handshakes", "95th percentile of their duration, by outcome.",
              percentile(0.95, otel.CHARTER_HANDSHAKE_DURATION, otel.CHARTER_HANDSHAKE_OUTCOME),
              unit="s", width=6),
        lines("Requests", "95th percentile of the duration of each REST route.",
              percentile(0.95, REQUESTS, ROUTE), unit="s", width=6),
        lines("Failed requests", "Share of the requests that the service answered with 5xx.",
              queries.share(REQUESTS, errors), unit="percentunit", maximum=1, width=6),
    ]  # fmt: skip
