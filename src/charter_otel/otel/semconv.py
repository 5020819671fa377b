"""Names that OpenTelemetry sees: attributes, spans, metrics, and the events' fields.

Generated from registry/charter.yaml by `make generate`; do not edit.
"""

from typing import Literal, NamedTuple

SCHEMA_URL = "https://opentelemetry.io/schemas/1.45.0"
"""Version of the semantic conventions that the names follow."""

# -- attributes

CHARTER_EVENT_ID = "charter.event.id"
"""Identifier of the event, unique among all events."""
CHARTER_EVENT_TYPE = "charter.event.type"
"""Type of the event, `<module>.<event>`."""
CHARTER_EVENT_SOURCE = "charter.event.source"
"""Service that emitted the event."""
CHARTER_EVENT_TIMESTAMP = "charter.event.timestamp"
"""Time at which the event was created, in Unix seconds."""
CHARTER_EVENT_CORRELATION_ID = "charter.event.correlation_id"
"""Trace id of the unit of work that the event belongs to."""
CHARTER_EVENT_VERSION = "charter.event.version"
"""Version of the Charter that the envelope follows."""
CHARTER_JOB_ID = "charter.job.id"
"""Identifier of the job."""
CHARTER_JOB_STARTED_AT = "charter.job.started_at"
"""Time at which the run started, in Unix seconds."""
CHARTER_JOB_COMPLETED_AT = "charter.job.completed_at"
"""Time at which the run completed, in Unix seconds."""
CHARTER_JOB_FAILED_AT = "charter.job.failed_at"
"""Time at which the run failed, in Unix seconds."""
CHARTER_JOB_ENTRIES_PROCESSED = "charter.job.entries_processed"
"""Number of mission entries that the run aggregated."""
CHARTER_JOB_DURATION_MS = "charter.job.duration_ms"
"""Duration of the run, in milliseconds."""
CHARTER_JOB_ERROR_MESSAGE = "charter.job.error_message"
"""Message of the exception that ended the run."""
CHARTER_JOB_ERROR_TYPE = "charter.job.error_type"
"""Class name of the exception that ended the run."""
CHARTER_JOB_SKIP_REASON = "charter.job.skip_reason"
"""Why a slot of the schedule passed without a run on this instance."""
CHARTER_MISSION_STATUS = "charter.mission.status"
"""Status of a mission, folded to a closed list."""
CHARTER_MISSION_REJECTION = "charter.mission.rejection"
"""Why a mission entry was skipped."""
CHARTER_ROBOT_ID = "charter.robot.id"
"""Identifier of the robot."""
CHARTER_ROBOT_LABEL = "charter.robot.label"
"""A label of the robot, such as its site; the key ends with the label's name."""
CHARTER_ROBOT_SIMULATED = "charter.robot.simulated"
"""Whether the robot said at its handshake that it is simulated; no alert is about it."""
CHARTER_ROBOT_STATUS = "charter.robot.status"
"""Presence of a robot."""
CHARTER_ROBOT_CONDITION = "charter.robot.condition"
"""Condition of a robot that is worth a page. A robot may be in several conditions."""
CHARTER_CONNECTION_ID = "charter.connection.id"
"""Identifier of the WebSocket connection, unique among all connections."""
CHARTER_CONNECTION_CONNECTED_AT = "charter.connection.connected_at"
"""Time at which the connection was accepted, in Unix seconds."""
CHARTER_CONNECTION_DISCONNECTED_AT = "charter.connection.disconnected_at"
"""Time at which the connection ended, in Unix seconds."""
CHARTER_CONNECTION_DURATION_SECONDS = "charter.connection.duration_seconds"
"""Duration of the connection, in seconds of a monotonic clock."""
CHARTER_CONNECTION_CLOSE_REASON = "charter.connection.close_reason"
"""Why a connection ended. A closed list, the same under every supported server."""
CHARTER_CONNECTION_FRAMES = "charter.connection.frames"
"""Frames that the connection had carried when the span ended."""
CHARTER_HANDSHAKE_OUTCOME = "charter.handshake.outcome"
"""Outcome of a handshake."""
CHARTER_FRAME_OUTCOME = "charter.frame.outcome"
"""Outcome of a robot's frame. The bad ones are the `code` of the error that the robot gets."""
CHARTER_READING_OUTCOME = "charter.reading.outcome"
"""Outcome of a reading."""
CHARTER_QUANTILE = "charter.quantile"
"""Share of the robots whose value is at most this one."""
CHARTER_READING_CPU_USAGE = "charter.reading.cpu_usage"
"""CPU usage of the robot, in percent."""
CHARTER_READING_MEMORY_USAGE = "charter.reading.memory_usage"
"""Memory usage of the robot, in percent."""
CHARTER_READING_NETWORK_LATENCY_MS = "charter.reading.network_latency_ms"
"""Network latency that the robot measures, in milliseconds."""
CHARTER_READING_BATTERY_PERCENTAGE = "charter.reading.battery_percentage"
"""Charge of the robot's battery, in percent."""
CHARTER_READING_PUBLISHED_AT = "charter.reading.published_at"
"""Time at which the readings were published, in Unix seconds."""
CHARTER_SINK = "charter.sink"
"""Destination of an event."""
CHARTER_REFUSAL_REASON = "charter.refusal.reason"
"""Why a connection was refused before it asked for anything."""
CHARTER_ENTRY_KIND = "charter.entry.kind"
"""Kind of an entry in Redis."""
CHARTER_DROP_REASON = "charter.drop_reason"
"""Why an event did not reach a sink."""
ERROR_TYPE = "error.type"
HTTP_REQUEST_METHOD = "http.request.method"
HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"
HTTP_ROUTE = "http.route"
MESSAGING_BATCH_MESSAGE_COUNT = "messaging.batch.message_count"
MESSAGING_CONSUMER_GROUP_NAME = "messaging.consumer.group.name"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_MESSAGE_CONVERSATION_ID = "messaging.message.conversation_id"
MESSAGING_MESSAGE_ID = "messaging.message.id"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_SYSTEM_NAME = "messaging.system.name"
NETWORK_PROTOCOL_VERSION = "network.protocol.version"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
URL_PATH = "url.path"
URL_QUERY = "url.query"
URL_SCHEME = "url.scheme"

# -- spans

SPAN_CHARTER_JOB_RUN = "charter.job.run"
"""One run of a job, the root of its own trace."""
SPAN_CHARTER_HANDSHAKE = "charter.handshake"
"""The handshake of a WebSocket; it ends when the connection is accepted or refused."""
SPAN_CHARTER_CONNECTION_CHECKPOINT = "charter.connection.checkpoint"
"""A short span of a connection that lives, root of its own trace, linked to the handshake."""
SPAN_CHARTER_CONNECTION = "charter.connection"
"""A whole connection, written at its end into the handshake's trace with explicit start and end."""
SPAN_CHARTER_SUBSCRIBER_PROCESS = "charter.subscriber.process"
"""The handling of an event, or of a batch, by one subscriber, linked to the publisher's traces."""

# -- metrics


class Metric(NamedTuple):
    """The declaration of a metric."""

    name: str
    instrument: Literal["counter", "updowncounter", "gauge", "histogram"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    observable: bool = False
    boundaries: tuple[float, ...] = ()


CHARTER_EVENT_EMITTED = Metric(
    "charter.event.emitted",
    "counter",
    "{event}",
    "Charter events emitted.",
    attributes=(CHARTER_EVENT_TYPE,),
)
CHARTER_EVENT_DROPPED = Metric(
    "charter.event.dropped",
    "counter",
    "{event}",
    "Charter events that did not reach a sink.",
    attributes=(CHARTER_SINK, CHARTER_DROP_REASON),
)
CHARTER_JOB_RUN_DURATION = Metric(
    "charter.job.run.duration",
    "histogram",
    "s",
    "Duration of the runs of a job.",
    attributes=(CHARTER_JOB_ID, ERROR_TYPE),
    boundaries=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
CHARTER_JOB_RUN_ACTIVE = Metric(
    "charter.job.run.active",
    "updowncounter",
    "{run}",
    "Runs of a job that are under way.",
    attributes=(CHARTER_JOB_ID,),
    observable=True,
)
CHARTER_JOB_RUN_SKIPPED = Metric(
    "charter.job.run.skipped",
    "counter",
    "{run}",
    "Slots of a job's schedule that passed without a run on this instance.",
    attributes=(CHARTER_JOB_ID, CHARTER_JOB_SKIP_REASON),
)
CHARTER_JOB_LAST_SUCCESS = Metric(
    "charter.job.last_success",
    "gauge",
    "s",
    "Time of the last successful run, in Unix seconds.",
    attributes=(CHARTER_JOB_ID,),
    observable=True,
)
CHARTER_MISSION_ENTRIES = Metric(
    "charter.mission.entries",
    "counter",
    "{entry}",
    "Mission entries aggregated.",
    attributes=(CHARTER_MISSION_STATUS,),
)
CHARTER_MISSION_REJECTED = Metric(
    "charter.mission.rejected",
    "counter",
    "{entry}",
    "Mission entries skipped because they are malformed.",
    attributes=(CHARTER_MISSION_REJECTION,),
)
CHARTER_CONNECTION_ACTIVE = Metric(
    "charter.connection.active",
    "updowncounter",
    "{connection}",
    "WebSocket connections that are open.",
    attributes=(CHARTER_ROBOT_LABEL,),
    observable=True,
)
CHARTER_CONNECTION_DURATION = Metric(
    "charter.connection.duration",
    "histogram",
    "s",
    "Duration of WebSocket connections, recorded at their end.",
    attributes=(CHARTER_CONNECTION_CLOSE_REASON, CHARTER_ROBOT_LABEL, CHARTER_ROBOT_SIMULATED),
    boundaries=(1, 5, 15, 30, 60, 300, 900, 1800, 3600, 14400, 43200, 86400),
)
CHARTER_HANDSHAKE_DURATION = Metric(
    "charter.handshake.duration",
    "histogram",
    "s",
    "Duration of WebSocket handshakes, accepted and refused.",
    attributes=(CHARTER_HANDSHAKE_OUTCOME,),
    boundaries=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
CHARTER_CONNECTION_REFUSED = Metric(
    "charter.connection.refused",
    "counter",
    "{connection}",
    "Connections refused before they asked for anything.",
    attributes=(CHARTER_REFUSAL_REASON,),
    observable=True,
)
CHARTER_FRAME_RECEIVED = Metric(
    "charter.frame.received",
    "counter",
    "{frame}",
    "Frames received from robots.",
    attributes=(CHARTER_FRAME_OUTCOME,),
    observable=True,
)
CHARTER_READING_RECEIVED = Metric(
    "charter.reading.received",
    "counter",
    "{reading}",
    "Readings received from robots, those of lists one by one.",
    attributes=(CHARTER_READING_OUTCOME,),
    observable=True,
)
CHARTER_READING_AGE = Metric(
    "charter.reading.age",
    "gauge",
    "s",
    "Age at arrival of the newest reading of each connected robot, as quantiles.",
    attributes=(CHARTER_QUANTILE,),
    observable=True,
)
CHARTER_ROBOT_COUNT = Metric(
    "charter.robot.count",
    "updowncounter",
    "{robot}",
    "Robots that this instance knows, by presence.",
    attributes=(CHARTER_ROBOT_STATUS, CHARTER_ROBOT_LABEL),
    observable=True,
)
CHARTER_ROBOT_CONDITION_COUNT = Metric(
    "charter.robot.condition.count",
    "updowncounter",
    "{robot}",
    "Robots of this instance in each condition; exact, whatever their number.",
    attributes=(CHARTER_ROBOT_CONDITION, CHARTER_ROBOT_LABEL),
    observable=True,
)
CHARTER_ROBOT_OMITTED = Metric(
    "charter.robot.omitted",
    "updowncounter",
    "{robot}",
    "Robots of this instance in a condition that have no series of their own, because of the cap.",
    attributes=(CHARTER_ROBOT_CONDITION,),
    observable=True,
)
CHARTER_ROBOT_ONLINE = Metric(
    "charter.robot.online",
    "gauge",
    "{robot}",
    "1 while the robot holds a connection, 0 while it does not.",
    attributes=(CHARTER_ROBOT_ID, CHARTER_ROBOT_SIMULATED),
    observable=True,
)
CHARTER_ROBOT_CPU_UTILIZATION = Metric(
    "charter.robot.cpu.utilization",
    "gauge",
    "1",
    "CPU usage of the robot, 0 to 1.",
    attributes=(CHARTER_ROBOT_ID, CHARTER_ROBOT_SIMULATED),
    observable=True,
)
CHARTER_ROBOT_MEMORY_UTILIZATION = Metric(
    "charter.robot.memory.utilization",
    "gauge",
    "1",
    "Memory usage of the robot, 0 to 1.",
    attributes=(CHARTER_ROBOT_ID, CHARTER_ROBOT_SIMULATED),
    observable=True,
)
CHARTER_ROBOT_BATTERY_CHARGE = Metric(
    "charter.robot.battery.charge",
    "gauge",
    "1",
    "Charge of the robot's battery, 0 to 1.",
    attributes=(CHARTER_ROBOT_ID, CHARTER_ROBOT_SIMULATED),
    observable=True,
)
CHARTER_ROBOT_NETWORK_LATENCY = Metric(
    "charter.robot.network.latency",
    "gauge",
    "s",
    "Network latency that the robot measures.",
    attributes=(CHARTER_ROBOT_ID, CHARTER_ROBOT_SIMULATED),
    observable=True,
)
CHARTER_STREAM_CONNECTED = Metric(
    "charter.stream.connected",
    "gauge",
    "{stream}",
    "1 while the event stream is reachable, 0 while it is not.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_STREAM_RESTARTED = Metric(
    "charter.stream.restarted",
    "counter",
    "{restart}",
    "Times that the event stream began anew; what a subscriber had not handled is lost with it.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_ENTRY_UNREADABLE = Metric(
    "charter.entry.unreadable",
    "counter",
    "{entry}",
    "Reads of an entry in Redis that was unreadable and was skipped.",
    attributes=(CHARTER_ENTRY_KIND,),
    observable=True,
)
CHARTER_STREAM_QUEUE_SIZE = Metric(
    "charter.stream.queue.size",
    "updowncounter",
    "{event}",
    "Events waiting in memory to be published.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_STREAM_QUEUE_CAPACITY = Metric(
    "charter.stream.queue.capacity",
    "updowncounter",
    "{event}",
    "Events that the publishing queue holds at most.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_STREAM_SPOOL_SIZE = Metric(
    "charter.stream.spool.size",
    "updowncounter",
    "{event}",
    "Events waiting on disk to be published.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_STREAM_SPOOL_RECOVERED = Metric(
    "charter.stream.spool.recovered",
    "counter",
    "{event}",
    "Events of earlier processes that were found on disk.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_STREAM_SPOOL_REPLAYED = Metric(
    "charter.stream.spool.replayed",
    "counter",
    "{event}",
    "Events that were published from disk.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_STREAM_ACCEPTED = Metric(
    "charter.stream.accepted",
    "counter",
    "{event}",
    "Events that were handed to the event stream.",
    attributes=(MESSAGING_SYSTEM_NAME,),
    observable=True,
)
CHARTER_SUBSCRIBER_LAG = Metric(
    "charter.subscriber.lag",
    "updowncounter",
    "{event}",
    "Events that a subscriber has not acknowledged yet.",
    attributes=(MESSAGING_CONSUMER_GROUP_NAME,),
    observable=True,
)
CHARTER_SUBSCRIBER_AGE = Metric(
    "charter.subscriber.age",
    "gauge",
    "s",
    "Age of the oldest event that a subscriber has not acknowledged yet; 0 if there is none.",
    attributes=(MESSAGING_CONSUMER_GROUP_NAME,),
    observable=True,
)
CHARTER_SUBSCRIBER_CRITICAL_TIME = Metric(
    "charter.subscriber.critical_time",
    "histogram",
    "s",
    "Time from an event's creation to the end of its handling; at least 0.",
    attributes=(MESSAGING_CONSUMER_GROUP_NAME,),
    boundaries=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600),
)
CHARTER_SUBSCRIBER_REDELIVERED = Metric(
    "charter.subscriber.redelivered",
    "counter",
    "{event}",
    "Events delivered again because a handler failed or its consumer died.",
    attributes=(MESSAGING_CONSUMER_GROUP_NAME,),
)
CHARTER_SUBSCRIBER_DEAD_LETTERED = Metric(
    "charter.subscriber.dead_lettered",
    "counter",
    "{event}",
    "Events given up after the last delivery and kept as dead letters.",
    attributes=(MESSAGING_CONSUMER_GROUP_NAME,),
)
CHARTER_LOG_DROPPED = Metric(
    "charter.log.dropped",
    "counter",
    "{line}",
    "Log lines dropped because stdout did not take them in time.",
    observable=True,
)
CHARTER_SERVICE_HEARTBEAT = Metric(
    "charter.service.heartbeat",
    "gauge",
    "s",
    "Unix time of the last collection of metrics; 0 once the instance has stopped cleanly.",
    observable=True,
)
CHARTER_SERVICE_HEARTBEAT_INTERVAL = Metric(
    "charter.service.heartbeat.interval",
    "gauge",
    "s",
    "Time between two heartbeats, which is the interval of the metrics' export.",
    observable=True,
)
CHARTER_SERVICE_LOOP_LAG = Metric(
    "charter.service.loop.lag",
    "gauge",
    "s",
    "Longest delay of the event loop since the last collection.",
    observable=True,
)
HTTP_SERVER_REQUEST_DURATION = Metric(
    "http.server.request.duration",
    "histogram",
    "s",
    "Duration of HTTP server requests.",
    attributes=(HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, URL_SCHEME, ERROR_TYPE),
    boundaries=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)
MESSAGING_CLIENT_OPERATION_DURATION = Metric(
    "messaging.client.operation.duration",
    "histogram",
    "s",
    "Duration of the operations on the event stream.",
    attributes=(
        MESSAGING_SYSTEM_NAME,
        MESSAGING_OPERATION_NAME,
        MESSAGING_OPERATION_TYPE,
        MESSAGING_DESTINATION_NAME,
        SERVER_ADDRESS,
        SERVER_PORT,
        ERROR_TYPE,
    ),
    boundaries=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
MESSAGING_CLIENT_SENT_MESSAGES = Metric(
    "messaging.client.sent.messages",
    "counter",
    "{message}",
    "Events that the stream has taken.",
    attributes=(
        MESSAGING_SYSTEM_NAME,
        MESSAGING_OPERATION_NAME,
        MESSAGING_DESTINATION_NAME,
        SERVER_ADDRESS,
        SERVER_PORT,
    ),
)
MESSAGING_PROCESS_DURATION = Metric(
    "messaging.process.duration",
    "histogram",
    "s",
    "Duration of handling an event, or a batch at once.",
    attributes=(
        MESSAGING_SYSTEM_NAME,
        MESSAGING_OPERATION_NAME,
        MESSAGING_DESTINATION_NAME,
        SERVER_ADDRESS,
        SERVER_PORT,
        MESSAGING_CONSUMER_GROUP_NAME,
        ERROR_TYPE,
    ),
    boundaries=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
PROCESS_UPTIME = Metric(
    "process.uptime",
    "gauge",
    "s",
    "Time since the process began to collect metrics.",
    observable=True,
)
PROCESS_CPU_TIME = Metric(
    "process.cpu.time", "counter", "s", "CPU time that the process has used.", observable=True
)
PROCESS_MEMORY_USAGE = Metric(
    "process.memory.usage",
    "updowncounter",
    "By",
    "Physical memory that the process uses; Linux only.",
    observable=True,
)
PROCESS_UNIX_FILE_DESCRIPTOR_COUNT = Metric(
    "process.unix.file_descriptor.count",
    "updowncounter",
    "{file_descriptor}",
    "File descriptors that the process has open; Linux only.",
    observable=True,
)

METRICS = tuple(each for each in [*globals().values()] if isinstance(each, Metric))
"""All metrics, in the order of the registry."""

# -- events

EVENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "metrics.aggregation_started": (
        ("job_id", CHARTER_JOB_ID),
        ("started_at", CHARTER_JOB_STARTED_AT),
    ),
    "metrics.aggregation_completed": (
        ("job_id", CHARTER_JOB_ID),
        ("entries_processed", CHARTER_JOB_ENTRIES_PROCESSED),
        ("duration_ms", CHARTER_JOB_DURATION_MS),
        ("completed_at", CHARTER_JOB_COMPLETED_AT),
    ),
    "metrics.aggregation_failed": (
        ("job_id", CHARTER_JOB_ID),
        ("error_message", CHARTER_JOB_ERROR_MESSAGE),
        ("error_type", CHARTER_JOB_ERROR_TYPE),
        ("failed_at", CHARTER_JOB_FAILED_AT),
        ("error_type", ERROR_TYPE),
    ),
    "telemetry.connection_established": (
        ("robot_id", CHARTER_ROBOT_ID),
        ("connection_id", CHARTER_CONNECTION_ID),
        ("connected_at", CHARTER_CONNECTION_CONNECTED_AT),
    ),
    "telemetry.connection_closed": (
        ("robot_id", CHARTER_ROBOT_ID),
        ("connection_id", CHARTER_CONNECTION_ID),
        ("duration_seconds", CHARTER_CONNECTION_DURATION_SECONDS),
        ("reason", CHARTER_CONNECTION_CLOSE_REASON),
        ("disconnected_at", CHARTER_CONNECTION_DISCONNECTED_AT),
    ),
    "telemetry.metrics_published": (
        ("robot_id", CHARTER_ROBOT_ID),
        ("metrics.cpu_usage", CHARTER_READING_CPU_USAGE),
        ("metrics.memory_usage", CHARTER_READING_MEMORY_USAGE),
        ("metrics.network_latency_ms", CHARTER_READING_NETWORK_LATENCY_MS),
        ("metrics.battery_percentage", CHARTER_READING_BATTERY_PERCENTAGE),
        ("published_at", CHARTER_READING_PUBLISHED_AT),
    ),
}
"""Event type → (path of the value in the payload, attribute)."""
