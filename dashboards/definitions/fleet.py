"""Fleet overview: is the fleet connected and the job running, right now?"""

from charter_otel.otel import semconv as otel
from charter_otel.otel.semconv import Metric
from dashboards import kit, limits, logql, promql, queries
from dashboards.panels import Steps, lines, number, question, ranking, rows, steps_of, timeline
from dashboards.promql import (
    EACH,
    aggregate,
    label,
    living,
    matching,
    of_living,
    per_step,
    rate,
    select,
    total,
)
from dashboards.queries import Query, extremes, legend, level, per_second, percentile, percentiles

QUESTION = "Is the fleet connected and the job running, right now?"
READING = (
    "Green in the first row means yes; grey means that nobody says anything: *Pipeline health* says"
    " where it stops. Red: *Incidents* says what fails and which trace explains it."
)
ROBOT, JOB, ROUTE = otel.CHARTER_ROBOT_ID, otel.CHARTER_JOB_ID, otel.HTTP_ROUTE
CPU, BATTERY = otel.CHARTER_ROBOT_CPU_UTILIZATION, otel.CHARTER_ROBOT_BATTERY_CHARGE
RUNS, REQUESTS = otel.CHARTER_JOB_RUN_DURATION, otel.HTTP_SERVER_REQUEST_DURATION
ONLINE = otel.CHARTER_ROBOT_ONLINE
CHOSEN = matching(ROBOT, "$robot", "=~")
CHARGE: Steps = ((0, "red"), (limits.LOW_BATTERY, "orange"), (0.4, "green"))
LOAD: Steps = ((0.75, "orange"), (limits.HIGH_CPU, "red"))
SLOW: Steps = ((limits.SLOW_JOB, "red"),)
PRESENCE = {"0": ("offline", "dark-red"), "1": ("online", "green")}
OUTCOMES = {"0": ("idle", "transparent"), "1": ("completed", "green"), "2": ("failed", "red")}
COLORED = {"custom.cellOptions": {"type": "color-text"}, "decimals": 0}
READINGS: dict[str, tuple[Metric, dict[str, object]]] = {
    "CPU": (CPU, {"unit": "percentunit", "thresholds": steps_of(LOAD), **COLORED}),
    "Memory": (otel.CHARTER_ROBOT_MEMORY_UTILIZATION, {"unit": "percentunit", "decimals": 0}),
    "Battery": (BATTERY, {"unit": "percentunit", "thresholds": steps_of(CHARGE), **COLORED}),
    "Latency": (otel.CHARTER_ROBOT_NETWORK_LATENCY, {"unit": "s"}),
}
LOST = {
    "Robot": ROBOT,
    "Reason": otel.CHARTER_CONNECTION_CLOSE_REASON,
    "Duration": otel.CHARTER_CONNECTION_DURATION_SECONDS,
    "Trace": otel.CHARTER_EVENT_CORRELATION_ID,
}


def dashboard() -> kit.Dashboard:
    """Build the dashboard."""
    made = kit.start("charter-fleet", "Charter / Fleet overview", QUESTION, "5s", "now-15m")
    kit.robots(kit.scope(made, promql.metric_name(otel.CHARTER_CONNECTION_ACTIVE)))
    kit.services(made)
    made.with_panel(question(QUESTION, READING))
    kit.row(made, "Overview", _overview())
    kit.row(made, "Robots", _robots())
    kit.row(made, "Jobs", _jobs())
    kit.row(made, "Readings", _readings())
    kit.row(made, "Traffic", _traffic())
    return kit.finish(made)


def robots_in(condition: str) -> Query:
    """Ask how many robots are in a condition; each instance counts its own, exactly."""
    matcher = matching(otel.CHARTER_ROBOT_CONDITION, condition)
    return level("sum", otel.CHARTER_ROBOT_CONDITION_COUNT, where=(matcher,))


def _overview() -> kit.Panels:
    success = aggregate("max", living(otel.CHARTER_JOB_LAST_SUCCESS), JOB)
    return [
        number("Connections", "WebSocket connections that are open, over all instances.",
               level("sum", otel.CHARTER_CONNECTION_ACTIVE)),
        number("Robots lost", "Robots that are offline unexpectedly.",
               robots_in("lost"), steps=((1, "orange"),)),
        number("Low batteries", "Robots below 20 %, until they are above 25 %: all, not a sample.",
               robots_in("low_battery"), steps=((1, "orange"),)),
        number("Last good run", "The job runs every 30 s: after two misses it is red.",
               Query(f"time() - {success}", legend(JOB)), unit="s",
               steps=((60, "orange"), (90, "red")), decimals=0),
        number("Slowest runs", "99th percentile of the runs' duration; the limit is 5 s.",
               percentile(0.99, RUNS), unit="s", steps=SLOW, decimals=2),
        number("Events", "Charter events per second, over all types.",
               Query(total(of_living(rate(otel.CHARTER_EVENT_EMITTED)))), unit="eps",
               decimals=1),
    ]  # fmt: skip


def _robots() -> kit.Panels:
    ended = logql.lost_connections()
    connected = aggregate("max", living(ONLINE, CHOSEN), ROBOT)
    # Only where an instance is gone: in a large fleet, a robot may have no series and be well.
    last = f"last_over_time({select(ONLINE, CHOSEN)}[30m])"
    left = f"{last} unless {EACH} ({living(otel.CHARTER_SERVICE_HEARTBEAT)})"
    online = f"{connected} or 0 * {aggregate('max', left, ROBOT)}"
    seen = of_living(f"timestamp({select(ONLINE, CHOSEN)} == 1)")
    # A month of 1,000 robots in short steps is more than Prometheus loads, and takes it minutes.
    lately, before = (f"max_over_time(({seen})[{steps}])" for steps in ("1h:10s", "$__range:5m"))
    since = aggregate("max", f"{lately} or {before}", ROBOT)
    offline = f"(({online}) == 0)"
    away = f"time() - {since} and {offline} or {offline} + $__range_s"
    return [
        timeline("Presence", "When each robot held a connection; pages of twenty. An instance that"
                 " dies takes its robots offline, until they are at another one.",
                 Query(online, legend(ROBOT)), states=PRESENCE, width=24,
                 height=14),
        rows("Offline now", "Offline robots, also those of an instance that is gone, and for how"
             " long, up to the time range; to five minutes after an hour.",
             Query(away, table=True, now=True), order=("Offline for", False), width=8,
             transformations=(_renamed({"Value": "Offline for"}),),
             columns={"Offline for": {"unit": "s", "decimals": 0}}),
        rows("Lost connections", "Unexpected ends, newest first; the id leads to the trace.",
             Query(ended, kind="loki"), transformations=logql.table(LOST), width=16,
             columns=logql.COLUMNS),
    ]  # fmt: skip


def _jobs() -> kit.Panels:
    failed = total(per_step(RUNS, matching(otel.ERROR_TYPE, "", "!="), part="count"), JOB)
    ran = f"({total(per_step(RUNS, part='count'), JOB)} > bool 0)"
    outcome = f"{ran} + (({failed} > bool 0) or 0 * {ran})"
    return [
        timeline("Runs", "Whether the runs of each job completed or failed.",
                 Query(outcome, legend(JOB), bars=True), states=OUTCOMES, width=8),
        lines("Duration of runs", "From start to end; dashed: 5 s. Dots lead to traces.",
              *percentiles(RUNS, 0.5, 0.99), unit="s", steps=SLOW),
        lines("Mission entries", "Entries that the job aggregated, per second, by status.",
              per_second(otel.CHARTER_MISSION_ENTRIES, otel.CHARTER_MISSION_STATUS),
              unit="recps", stacked=True),
    ]  # fmt: skip


def _readings() -> kit.Panels:
    columns = {f"Value #{ref}": name for ref, name in zip("ABCD", READINGS, strict=True)}
    latest = [level("min" if metric is BATTERY else "max", metric, ROBOT, where=(CHOSEN,))
              for metric, _ in READINGS.values()]  # fmt: skip
    return [
        rows("Readings", "The last readings of each connected robot, the emptiest battery first;"
             " a robot leads to its history.",
             *(Query(query.expression, now=True, table=True) for query in latest),
             transformations=(("merge", {}), _renamed(columns)), order=("Battery", False),
             columns={name: properties for name, (_, properties) in READINGS.items()},
             width=10, height=10),
        ranking("Emptiest batteries", "The ten lowest charges; red below 20 %.",
                extremes("bottomk", BATTERY, ROBOT, CHOSEN), unit="percentunit", steps=CHARGE,
                maximum=1, width=7),
        ranking("Busiest processors", "The ten highest CPU utilizations; red from 90 %.",
                extremes("topk", CPU, ROBOT, CHOSEN), unit="percentunit", steps=LOAD,
                maximum=1, width=7),
    ]  # fmt: skip


def _traffic() -> kit.Panels:
    errors = matching(otel.HTTP_RESPONSE_STATUS_CODE, "5..", "=~")
    return [
        lines("Frames", "Frames from robots per second, by outcome.",
              per_second(otel.CHARTER_FRAME_RECEIVED, otel.CHARTER_FRAME_OUTCOME),
              unit="mps", stacked=True),
        lines("Handshakes", "Handshakes per second, by outcome.",
              per_second(otel.CHARTER_HANDSHAKE_DURATION, otel.CHARTER_HANDSHAKE_OUTCOME,
                         part="count"), unit="reqps", stacked=True),
        lines("Slow handshakes", "95th percentile of the duration of those that were accepted.",
              _accepted(), unit="s"),
        lines("Requests", "REST requests per second, by route.",
              per_second(REQUESTS, ROUTE, part="count"), unit="reqps"),
        lines("Slow requests", "95th percentile of the duration of each REST route.",
              percentile(0.95, REQUESTS, ROUTE), unit="s"),
        lines("Failed requests", "Share of the requests that the service answered with 5xx.",
              queries.share(REQUESTS, errors), unit="percentunit", maximum=1),
    ]  # fmt: skip


def _accepted() -> Query:
    accepted = matching(otel.CHARTER_HANDSHAKE_OUTCOME, "accepted")
    quantile = promql.quantile(0.95, otel.CHARTER_HANDSHAKE_DURATION, matchers=(accepted,))
    return Query(quantile, "p95")


def _renamed(columns: dict[str, str]) -> tuple[str, dict[str, object]]:
    names = {label(ROBOT): "Robot", **columns}
    return ("organize", {"excludeByName": {"Time": True}, "renameByName": names})
