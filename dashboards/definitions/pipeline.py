"""Pipeline health: can the other dashboards be believed?"""

from charter_otel.otel import semconv as otel
from dashboards import external, kit, limits
from dashboards.definitions import exporting, instances, redis
from dashboards.kit import Dashboard
from dashboards.panels import Steps, lines, number, question
from dashboards.promql import aggregate, metric_name, select
from dashboards.queries import (
    Query,
    fraction,
    in_range,
    level,
    per_second,
    per_step,
    percentile,
    percentiles,
)
from dashboards.rules.thresholds import Thresholds

QUESTION = "Does every event arrive, and in time: can the other dashboards be believed?"
READING = (
    "Along an event's way: the service emits it, the stream takes it, subscribers handle it; the"
    " SDK exports it, the Collector passes it on. The first row is red where something is lost or"
    " late. The Collector and Redis's exporter are jobs of their own: keep them chosen above."
)
GROUP, TYPE, SYSTEM = (
    otel.MESSAGING_CONSUMER_GROUP_NAME,
    otel.CHARTER_EVENT_TYPE,
    otel.MESSAGING_SYSTEM_NAME,
)
CONNECTED = {"0": ("unreachable", "red"), "1": ("connected", "green")}
ANY: Steps = ((1, "red"),)
FILLING: Steps = ((0.5, "orange"), (0.8, "red"))
LATE: Steps = ((limits.FRESH, "red"),)
STUCK: Steps = ((Thresholds().lag_s, "red"),)


def dashboard() -> Dashboard:
    """Build the dashboard."""
    made = kit.start("charter-pipeline", "Charter / Pipeline health", QUESTION, "10s", "now-1h")
    names = (otel.CHARTER_EVENT_EMITTED, external.COLLECTOR_UPTIME, external.REDIS_UP)
    kit.scope(made, f'{{__name__=~"{"|".join(map(metric_name, names))}"}}')
    made.with_panel(question(QUESTION, READING))
    kit.row(made, "Overview", _overview())
    kit.row(made, "Instances", instances.panels())
    kit.row(made, "Events", _events())
    kit.row(made, "Redis", redis.panels())
    kit.row(made, "Subscribers", _subscribers())
    kit.row(made, "The service's exporters", exporting.service())
    kit.row(made, "The Collector", exporting.collector())
    return kit.finish(made)


def _overview() -> kit.Panels:
    beat = select(otel.CHARTER_SERVICE_HEARTBEAT)
    newest = aggregate("max", f"max_over_time({beat}[6h]) > 0")
    return [
        number("Age of data", "Since the service last sent a heartbeat; it grows while none"
               " does.", Query(f"time() - {newest}"), unit="s", steps=LATE, decimals=1),
        number("Event stream", "Whether every instance reaches its event stream.",
               level("min", otel.CHARTER_STREAM_CONNECTED), states=CONNECTED),
        number("Events dropped", "Events that missed a sink in the time range.",
               in_range(otel.CHARTER_EVENT_DROPPED), steps=ANY),
        number("Lines dropped", "Log lines that stdout did not take, in the time range.",
               in_range(otel.CHARTER_LOG_DROPPED), steps=ANY),
        number("Publishing queue", "How full the fullest queue in front of the stream is.",
               fraction(otel.CHARTER_STREAM_QUEUE_SIZE, otel.CHARTER_STREAM_QUEUE_CAPACITY),
               unit="percentunit", steps=FILLING, decimals=1),
        number("Dead letters", "Events that a subscriber gave up, in the time range.",
               in_range(otel.CHARTER_SUBSCRIBER_DEAD_LETTERED), steps=ANY),
    ]  # fmt: skip


def _events() -> kit.Panels:
    return [
        lines("Emitted", "Charter events per second, by type.",
              per_second(otel.CHARTER_EVENT_EMITTED, TYPE), unit="eps", stacked=True, width=6),
        lines("Dropped", "Events that missed a sink, by sink and reason.",
              per_step(otel.CHARTER_EVENT_DROPPED, otel.CHARTER_SINK, otel.CHARTER_DROP_REASON),
              stacked=True, width=6),
        lines("Taken by the stream", "Events per second that the event stream has taken.",
              per_second(otel.MESSAGING_CLIENT_SENT_MESSAGES, SYSTEM), unit="eps", width=6),
        lines("Publishing", "How long the stream takes to answer.",
              *percentiles(otel.MESSAGING_CLIENT_OPERATION_DURATION), unit="s", width=6),
        lines("Spool", "Events that wait on disk until the stream takes them, over all instances.",
              level("sum", otel.CHARTER_STREAM_SPOOL_SIZE, SYSTEM)),
        lines("Stream restarts", "Times that a reader found the stream without what it held.",
              per_step(otel.CHARTER_STREAM_RESTARTED, SYSTEM), stacked=True),
        lines("Unreadable entries", "Reads of an entry in Redis that was skipped, by its kind.",
              per_step(otel.CHARTER_ENTRY_UNREADABLE, otel.CHARTER_ENTRY_KIND), stacked=True),
    ]  # fmt: skip


def _subscribers() -> kit.Panels:
    return [
        lines("Lag", "Events that a subscriber has not acknowledged yet.",
              level("max", otel.CHARTER_SUBSCRIBER_LAG, GROUP)),
        lines("Oldest event", "Age of the oldest event that a subscriber has not acknowledged.",
              level("max", otel.CHARTER_SUBSCRIBER_AGE, GROUP), unit="s", steps=STUCK),
        lines("Critical time", "95th percentile of the time from creation to handling.",
              percentile(0.95, otel.CHARTER_SUBSCRIBER_CRITICAL_TIME, GROUP), unit="s", steps=LATE),
        lines("Handling", "95th percentile of the handling of one event. Dots lead to traces.",
              percentile(0.95, otel.MESSAGING_PROCESS_DURATION, GROUP), unit="s", width=12),
        lines("Delivered again", "Repeated after a handler failed or its consumer died.",
              per_step(otel.CHARTER_SUBSCRIBER_REDELIVERED, GROUP), stacked=True, width=12),
    ]  # fmt: skip
