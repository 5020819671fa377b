"""The answers of the robots' REST routes: dictionaries with names that a client may rely on."""

from typing import Annotated, Literal, TypedDict

from litestar.params import PathParameter

from charter_otel.charter import ROBOT_ID_PATTERN, ROBOT_ID_RULE, CloseReason, portable

RobotId = Annotated[
    str,
    PathParameter(
        description=f"The robot's id: {ROBOT_ID_RULE}.",
        schema_extra=portable({"pattern": ROBOT_ID_PATTERN}),
    ),
]
"""A robot's id in a path; the handler checks it, and says what is wrong."""


class RobotMetrics(TypedDict):
    """The last readings of a robot."""

    robot_id: str
    cpu_usage: float
    memory_usage: float
    network_latency_ms: float
    battery_percentage: float
    updated_at: float


class RobotPresence(TypedDict):
    """Presence of a robot: online or not, and since when. Times are Unix seconds."""

    robot_id: str
    status: Literal["online", "offline"]
    connection_id: str | None
    connected_at: float | None
    last_seen_at: float | None
    disconnected_at: float | None
    last_reason: CloseReason | None


class Info(TypedDict):
    """The service that answers."""

    name: str
    version: str
    features: list[str]
    active_connections: int
