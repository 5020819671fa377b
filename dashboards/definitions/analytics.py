"""Analytics: how do durations, throughput and resource usage develop?"""

from charter_otel.otel import semconv as otel
from charter_otel.otel.semconv import Metric
from dashboards import kit, limits
from dashboards.panels import Steps, heat, lines, number, question, ranking
from dashboards.promql import aggregate, at_most, living, matching, metric_name, select
from dashboards.queries import (
    Query,
    in_range,
    legend,
    level,
    mean,
    per_second,
    per_step,
    percentiles,
    running_mean,
    share_in_range,
)

QUESTION = "How do durations, throughput and resource usage develop?"
READING = (
    "The numbers of the first row are sums and means of the time range: move it to compare."
    " Choose robots above to see only theirs in *Resources*."
)
ROBOT, REASON = otel.CHARTER_ROBOT_ID, otel.CHARTER_CONNECTION_CLOSE_REASON
RUNS, CONNECTIONS = otel.CHARTER_JOB_RUN_DURATION, otel.CHARTER_CONNECTION_DURATION
CPU, MEMORY = otel.CHARTER_ROBOT_CPU_UTILIZATION, otel.CHARTER_ROBOT_MEMORY_UTILIZATION
BATTERY, LATENCY = otel.CHARTER_ROBOT_BATTERY_CHARGE, otel.CHARTER_ROBOT_NETWORK_LATENCY
CHOSEN = matching(ROBOT, "$robot", "=~")
SHORT = at_most(limits.SHORT_CONNECTION)
SLOW: Steps = ((limits.SLOW_JOB, "red"),)
BRIEF: Steps = ((0, "orange"), (limits.SHORT_CONNECTION, "green"))
CHARGE: Steps = ((0, "red"), (limits.LOW_BATTERY, "green"))
LOAD: Steps = ((limits.HIGH_CPU, "red"),)


def dashboard() -> kit.Dashboard:
    """Build the dashboard."""
    made = kit.start("charter-analytics", "Charter / Analytics", QUESTION, "1m", "now-24h")
    kit.robots(kit.scope(made, metric_name(otel.CHARTER_EVENT_EMITTED)))
    made.with_panel(question(QUESTION, READING))
    kit.row(made, "Overview", _overview())
    kit.row(made, "Job", _job())
    kit.row(made, "Connections", _connections())
    kit.row(made, "Resources", _resources())
    return kit.finish(made)


def _overview() -> kit.Panels:
    return [
        number("Runs", "Runs of the job in the time range.", in_range(RUNS, part="count")),
        number("Mean run", "Mean duration of the runs; the limit is 5 s.",
               mean(RUNS), unit="s", steps=SLOW, decimals=3),
        number("Entries", "Mission entries aggregated in the time range.",
               in_range(otel.CHARTER_MISSION_ENTRIES)),
        number("Mean connection", "Mean duration of the connections that ended; below 60 s orange.",
               mean(CONNECTIONS), unit="s", steps=BRIEF, decimals=1),
        number("Short connections", "Share of the connections that ended before 60 s.",
               share_in_range(CONNECTIONS, SHORT, part="bucket"), unit="percentunit",
               steps=((0.1, "orange"), (0.5, "red")), decimals=1),
        number("Mean battery", "Mean charge of the chosen robots that are connected, now.",
               level("avg", BATTERY, where=(CHOSEN,)), unit="percentunit", steps=CHARGE,
               decimals=0),
    ]  # fmt: skip


def _job() -> kit.Panels:
    skipped = matching(otel.CHARTER_JOB_SKIP_REASON, "elsewhere", "!=")
    return [
        lines("Duration of runs", "Percentiles and mean; dashed: 5 s. Dots lead to traces.",
              *percentiles(RUNS), running_mean(RUNS), unit="s", steps=SLOW),
        lines("Throughput", "Mission entries per second, by status.",
              per_second(otel.CHARTER_MISSION_ENTRIES, otel.CHARTER_MISSION_STATUS),
              unit="recps", stacked=True, width=6),
        lines("Malformed entries", "Mission entries that were skipped, by reason.",
              per_step(otel.CHARTER_MISSION_REJECTED, otel.CHARTER_MISSION_REJECTION),
              stacked=True, width=5),
        lines("Slots skipped", "Slots that passed because a run was late or under way.",
              per_step(otel.CHARTER_JOB_RUN_SKIPPED, otel.CHARTER_JOB_SKIP_REASON,
                       where=(skipped,)), stacked=True, width=5),
    ]  # fmt: skip


def _connections() -> kit.Panels:
    return [
        heat("Connections by duration", "Durations of the connections that ended.",
             CONNECTIONS, width=10),
        lines("Ends by reason", "Connections that ended, by close reason.",
              per_step(CONNECTIONS, REASON, part="count"), stacked=True, width=8),
        lines("Open connections", "WebSocket connections, over all instances.",
              level("sum", otel.CHARTER_CONNECTION_ACTIVE), width=6),
    ]  # fmt: skip


def _resources() -> kit.Panels:
    return [
        lines("CPU", "Utilization of the chosen robots; dashed: 90 %.",
              *_spread(CPU, "max", 0.95), unit="percentunit", steps=LOAD, maximum=1, width=6),
        lines("Memory", "Memory that the chosen robots use; dashed: 90 %.",
              *_spread(MEMORY, "max", 0.95), unit="percentunit", steps=LOAD, maximum=1, width=6),
        lines("Battery", "Charge of the chosen robots; dashed: 20 %.",
              *_spread(BATTERY, "min", 0.05), unit="percentunit", steps=CHARGE, maximum=1, width=6),
        lines("Network latency", "As the chosen robots measure it.",
              *_spread(LATENCY, "max", 0.95), unit="s", width=6),
        ranking("Busiest robots", "Mean CPU utilization of the last ten minutes; red from 90 %.",
                _most(CPU), unit="percentunit", steps=LOAD, maximum=1, width=12),
        ranking("Slowest links", "Mean network latency of the last ten minutes.",
                _most(LATENCY), unit="s", width=12),
    ]  # fmt: skip


def _spread(metric: Metric, extreme: str, share: float) -> list[Query]:
    tail = Query(f"quantile({share}, {living(metric, CHOSEN)})", f"p{share * 100:g}")
    return [level("avg", metric, where=(CHOSEN,)), tail, level(extreme, metric, where=(CHOSEN,))]


def _most(metric: Metric) -> Query:
    # By robot: one that moved has series of two instances.
    each = aggregate("max", f"avg_over_time({select(metric, CHOSEN)}[10m])", ROBOT)
    return Query(f"topk(10, {each})", legend(ROBOT), now=True)
