"""The payloads of the six events, as the specification has them.

Generated from registry/charter.yaml by `make generate`; do not edit.
"""

from enum import StrEnum
from typing import Annotated, NotRequired, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType


class CloseReason(StrEnum):
    """Why a connection ended. A closed list, the same under every supported server."""

    CLIENT_DISCONNECT = "client_disconnect"
    """The robot closed the connection."""
    CONNECTION_LOST = "connection_lost"
    """The connection broke without a close frame."""
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    """No frame came within the heartbeat timeout."""
    SUPERSEDED = "superseded"
    """The same robot connected again; the newest connection wins."""
    PROTOCOL_ERROR = "protocol_error"
    """Too many bad frames in a row."""
    MESSAGE_TOO_BIG = "message_too_big"
    """A frame was larger than the limit."""
    RATE_LIMITED = "rate_limited"
    """The robot kept sending faster than the limit."""
    TOKEN_EXPIRED = "token_expired"
    """The robot's token expired while it was connected."""
    SERVER_SHUTDOWN = "server_shutdown"
    """The service shut down."""
    SERVER_ERROR = "server_error"
    """The service failed while it handled the connection."""
    SERVER_LOST = "server_lost"
    """The instance that held the connection died; written by another one or after a restart."""


EXPECTED_CLOSE_REASONS = frozenset(
    {
        CloseReason.CLIENT_DISCONNECT,
        CloseReason.SUPERSEDED,
        CloseReason.TOKEN_EXPIRED,
        CloseReason.SERVER_SHUTDOWN,
    }
)
"""Reasons that nobody needs to be woken for."""

ROBOT_ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\\Z"
"""Identifier of the robot, as a regular expression."""


class AggregationStarted(Struct, frozen=True, kw_only=True):
    """A metric aggregation job started executing."""

    job_id: Annotated[str, Meta(description="Identifier of the job.")]
    started_at: Annotated[
        float, Meta(description="Time at which the run started, in Unix seconds.")
    ]


class AggregationStartedFields(TypedDict):
    """The same as a mapping: A metric aggregation job started executing."""

    job_id: str
    started_at: float


class AggregationCompleted(Struct, frozen=True, kw_only=True):
    """A metric aggregation job completed successfully."""

    job_id: Annotated[str, Meta(description="Identifier of the job.")]
    entries_processed: Annotated[
        int,
        Meta(
            ge=0,
            le=9007199254740991,
            description="Number of mission entries that the run aggregated.",
        ),
    ]
    duration_ms: Annotated[float, Meta(ge=0, description="Duration of the run, in milliseconds.")]
    completed_at: Annotated[
        float, Meta(description="Time at which the run completed, in Unix seconds.")
    ]


class AggregationCompletedFields(TypedDict):
    """The same as a mapping: A metric aggregation job completed successfully."""

    job_id: str
    entries_processed: int
    duration_ms: float
    completed_at: float


class AggregationFailed(Struct, frozen=True, kw_only=True):
    """A metric aggregation job failed with an error."""

    job_id: Annotated[str, Meta(description="Identifier of the job.")]
    error_message: Annotated[str, Meta(description="Message of the exception that ended the run.")]
    error_type: Annotated[str, Meta(description="Class name of the exception that ended the run.")]
    failed_at: Annotated[float, Meta(description="Time at which the run failed, in Unix seconds.")]


class AggregationFailedFields(TypedDict):
    """The same as a mapping: A metric aggregation job failed with an error."""

    job_id: str
    error_message: str
    error_type: str
    failed_at: float


class ConnectionEstablished(Struct, frozen=True, kw_only=True):
    """A robot's WebSocket connection was established."""

    robot_id: Annotated[str, Meta(pattern=ROBOT_ID_PATTERN, description="Identifier of the robot.")]
    connection_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            description="Identifier of the WebSocket connection, unique among all connections.",
        ),
    ]
    connected_at: Annotated[
        float, Meta(description="Time at which the connection was accepted, in Unix seconds.")
    ]


class ConnectionEstablishedFields(TypedDict):
    """The same as a mapping: A robot's WebSocket connection was established."""

    robot_id: str
    connection_id: str
    connected_at: float


class ConnectionClosed(Struct, frozen=True, kw_only=True):
    """A robot's WebSocket connection was closed, by either side or by an error."""

    robot_id: Annotated[str, Meta(pattern=ROBOT_ID_PATTERN, description="Identifier of the robot.")]
    connection_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            description="Identifier of the WebSocket connection, unique among all connections.",
        ),
    ]
    duration_seconds: Annotated[
        float,
        Meta(ge=0, description="Duration of the connection, in seconds of a monotonic clock."),
    ]
    reason: (
        Annotated[
            str,
            Meta(
                description="Why a connection ended. A closed list, the same under every supported server."
            ),
        ]
        | UnsetType
    ) = UNSET
    disconnected_at: Annotated[
        float, Meta(description="Time at which the connection ended, in Unix seconds.")
    ]


class ConnectionClosedFields(TypedDict):
    """The same as a mapping: A robot's WebSocket connection was closed, by either side or by an error."""

    robot_id: str
    connection_id: str
    duration_seconds: float
    reason: NotRequired[str]
    disconnected_at: float


class Readings(Struct, frozen=True, kw_only=True):
    """The last readings of a robot."""

    cpu_usage: Annotated[
        float, Meta(ge=0, le=100, description="CPU usage of the robot, in percent.")
    ]
    memory_usage: Annotated[
        float, Meta(ge=0, le=100, description="Memory usage of the robot, in percent.")
    ]
    network_latency_ms: Annotated[
        float, Meta(ge=0, description="Network latency that the robot measures, in milliseconds.")
    ]
    battery_percentage: Annotated[
        float, Meta(ge=0, le=100, description="Charge of the robot's battery, in percent.")
    ]


class ReadingsFields(TypedDict):
    """The same as a mapping: The last readings of a robot."""

    cpu_usage: float
    memory_usage: float
    network_latency_ms: float
    battery_percentage: float


class MetricsPublished(Struct, frozen=True, kw_only=True):
    """The last readings of a robot were published through the REST API."""

    robot_id: Annotated[str, Meta(pattern=ROBOT_ID_PATTERN, description="Identifier of the robot.")]
    metrics: Readings
    """The readings."""
    published_at: Annotated[
        float, Meta(description="Time at which the readings were published, in Unix seconds.")
    ]


class MetricsPublishedFields(TypedDict):
    """The same as a mapping: The last readings of a robot were published through the REST API."""

    robot_id: str
    metrics: Readings | ReadingsFields
    published_at: float
