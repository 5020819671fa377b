"""Metrics that others declare: the OpenTelemetry SDK, the Collector and Redis's exporter.

Names and attributes: https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/,
https://opentelemetry.io/docs/collector/internal-telemetry/ and
https://github.com/oliver006/redis_exporter. `test_live.py` sees them.
"""

from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric

COMPONENT = "otel.component.name"
"""The exporter or processor of the SDK that reports."""
RECEIVER = "receiver"
EXPORTER = "exporter"
DATA_TYPE = "data_type"
SERVICE_VERSION = "service.version"

LOG_QUEUE_SIZE = Metric(
    "otel.sdk.processor.log.queue.size", "updowncounter", "{log_record}", "", (COMPONENT,)
)
LOG_QUEUE_CAPACITY = Metric(
    "otel.sdk.processor.log.queue.capacity", "updowncounter", "{log_record}", "", (COMPONENT,)
)
SPAN_QUEUE_SIZE = Metric(
    "otel.sdk.processor.span.queue.size", "updowncounter", "{span}", "", (COMPONENT,)
)
SPAN_QUEUE_CAPACITY = Metric(
    "otel.sdk.processor.span.queue.capacity", "updowncounter", "{span}", "", (COMPONENT,)
)
LOG_PROCESSED = Metric(
    "otel.sdk.processor.log.processed",
    "counter",
    "{log_record}",
    "",
    (COMPONENT, semconv.ERROR_TYPE),
)
SPAN_PROCESSED = Metric(
    "otel.sdk.processor.span.processed", "counter", "{span}", "", (COMPONENT, semconv.ERROR_TYPE)
)
LOG_EXPORTED = Metric(
    "otel.sdk.exporter.log.exported", "counter", "{log_record}", "", (COMPONENT, semconv.ERROR_TYPE)
)
SPAN_EXPORTED = Metric(
    "otel.sdk.exporter.span.exported", "counter", "{span}", "", (COMPONENT, semconv.ERROR_TYPE)
)
EXPORT_DURATION = Metric(
    "otel.sdk.exporter.operation.duration", "histogram", "s", "", (COMPONENT, semconv.ERROR_TYPE)
)
SDK = (
    LOG_QUEUE_SIZE,
    LOG_QUEUE_CAPACITY,
    SPAN_QUEUE_SIZE,
    SPAN_QUEUE_CAPACITY,
    LOG_PROCESSED,
    SPAN_PROCESSED,
    LOG_EXPORTED,
    SPAN_EXPORTED,
    EXPORT_DURATION,
)

_RECEIVED = (RECEIVER, "transport")
_SENT = (EXPORTER,)
ACCEPTED = tuple(
    Metric(f"otelcol_receiver_accepted_{signal}", "counter", "{record}", "", _RECEIVED)
    for signal in ("log_records", "spans", "metric_points")
)
REFUSED = tuple(
    Metric(f"otelcol_receiver_refused_{signal}", "counter", "{record}", "", _RECEIVED)
    for signal in ("log_records", "spans", "metric_points")
)
SENT = tuple(
    Metric(f"otelcol_exporter_sent_{signal}", "counter", "{record}", "", _SENT)
    for signal in ("log_records", "spans", "metric_points")
)
SEND_FAILED = tuple(
    Metric(f"otelcol_exporter_send_failed_{signal}", "counter", "{record}", "", _SENT)
    for signal in ("log_records", "spans")
)
COLLECTOR_QUEUE_SIZE = Metric(
    "otelcol_exporter_queue_size", "gauge", "{batch}", "", (EXPORTER, DATA_TYPE)
)
COLLECTOR_QUEUE_CAPACITY = Metric(
    "otelcol_exporter_queue_capacity", "gauge", "{batch}", "", (EXPORTER, DATA_TYPE)
)
COLLECTOR_MEMORY = Metric("otelcol_process_memory_rss", "gauge", "By", "")
COLLECTOR_UPTIME = Metric("otelcol_process_uptime", "counter", "s", "")
COLLECTOR = (
    *ACCEPTED,
    *REFUSED,
    *SENT,
    *SEND_FAILED,
    COLLECTOR_QUEUE_SIZE,
    COLLECTOR_QUEUE_CAPACITY,
    COLLECTOR_MEMORY,
    COLLECTOR_UPTIME,
)

REDIS_UP = Metric("redis_up", "gauge", "", "")
"""1 while Redis answers its exporter, 0 while it does not."""
REDIS_UPTIME = Metric("redis_uptime_in", "gauge", "s", "")
REDIS_MEMORY = Metric("redis_memory_used", "gauge", "By", "")
REDIS_RESIDENT = Metric("redis_memory_used_rss", "gauge", "By", "")
REDIS_MEMORY_LIMIT = Metric("redis_memory_max", "gauge", "By", "")
"""0 where it has none."""
REDIS_EVICTED = Metric("redis_evicted_keys", "counter", "{key}", "")
REDIS_REJECTED = Metric("redis_rejected_connections", "counter", "{connection}", "")
REDIS_AOF = Metric("redis_aof_enabled", "gauge", "", "")
REDIS_AOF_WRITTEN = Metric("redis_aof_last_write_status", "gauge", "", "")
REDIS_SNAPSHOT = Metric("redis_rdb_last_bgsave_status", "gauge", "", "")
REDIS_COMMANDS = Metric("redis_commands_processed", "counter", "{command}", "")
REDIS_CPU = tuple(Metric(f"redis_cpu_{mode}", "counter", "s", "") for mode in ("sys", "user"))
REDIS_CLIENTS = Metric("redis_connected_clients", "gauge", "{client}", "")
REDIS_BLOCKED = Metric("redis_blocked_clients", "gauge", "{client}", "")
REDIS_REPLICAS = Metric("redis_connected_slaves", "gauge", "{replica}", "")
REDIS = (
    REDIS_UP,
    REDIS_UPTIME,
    REDIS_MEMORY,
    REDIS_RESIDENT,
    REDIS_MEMORY_LIMIT,
    REDIS_EVICTED,
    REDIS_REJECTED,
    REDIS_AOF,
    REDIS_AOF_WRITTEN,
    REDIS_SNAPSHOT,
    REDIS_COMMANDS,
    *REDIS_CPU,
    REDIS_CLIENTS,
    REDIS_BLOCKED,
    REDIS_REPLICAS,
)

TARGET_INFO = Metric(
    "target.info",
    "gauge",
    "",
    "",
    (SERVICE_VERSION, "host.name", "deployment.environment.name", "k8s.cluster.name"),
)
_ALERT = ("alertname", "severity", "job_id", "robot_id", "robots", "objective")
ALERTS_FIRING = Metric("charter:alerts:firing", "gauge", "", "", _ALERT)
"""All firing alerts but the watchdog; recorded by `rules/recorded.py`."""
ALERTS_SINCE = Metric("charter:alerts:since", "gauge", "", "", _ALERT)
"""When what fires or is about to became so; recorded likewise."""
OBJECTIVE_ERRORS = Metric("charter:objective:error_ratio", "gauge", "", "", ("objective", "window"))
"""Share of what failed an objective within a window; recorded by `rules/objectives.py`."""
OBJECTIVE_BUDGET = Metric("charter:objective:budget", "gauge", "", "", ("objective",))
"""Share that may fail; recorded likewise."""
INSTANCES_GONE = Metric("charter:instances:gone", "gauge", "", "")
"""Instances that died, hang or have stopped; recorded by `rules/service.py`."""
ROBOTS_LOST = Metric("charter:robots:lost", "gauge", "", "")
"""Robots that are lost, by their labels; recorded by `rules/fleet.py`,"""
ROBOTS_KNOWN = Metric("charter:robots:known", "gauge", "", "")
"""and all of those that are connected or lost."""
UNEXPECTED_CLOSES = Metric("charter:closes:unexpected", "gauge", "", "")
"""Connections that ended lately and unexpectedly, by labels of robots; likewise."""
MANY_CLOSES = Metric("charter:closes:many", "gauge", "", "")
"""All of these where they are many of the fleet, whether the robots are back or not; likewise."""
GROUPS_LOST = Metric("charter:groups:lost", "gauge", "", "")
"""Robots that a site, a model or a firmware has lost which lost most of its robots; likewise."""
AVAILABILITY = Metric("charter:robots:availability", "gauge", "", "")
"""Share of the robots which want to be connected that are; recorded likewise."""
PROMETHEUS = (
    OBJECTIVE_ERRORS,
    OBJECTIVE_BUDGET,
    AVAILABILITY,
    ROBOTS_LOST,
    ROBOTS_KNOWN,
    UNEXPECTED_CLOSES,
    MANY_CLOSES,
    GROUPS_LOST,
    INSTANCES_GONE,
    TARGET_INFO,
    ALERTS_FIRING,
    ALERTS_SINCE,
)
