"""The catalog: what is known of each event type.

Generated from registry/charter.yaml by `make generate`; do not edit.
"""

from enum import StrEnum
from typing import Literal, NamedTuple

from msgspec import Struct

from charter_otel.charter import payloads

Severity = Literal["info", "warn", "error"]


class EventType(StrEnum):
    """The six event types of Charter v1.0."""

    METRICS_AGGREGATION_STARTED = "metrics.aggregation_started"
    """A metric aggregation job started executing."""
    METRICS_AGGREGATION_COMPLETED = "metrics.aggregation_completed"
    """A metric aggregation job completed successfully."""
    METRICS_AGGREGATION_FAILED = "metrics.aggregation_failed"
    """A metric aggregation job failed with an error."""
    TELEMETRY_CONNECTION_ESTABLISHED = "telemetry.connection_established"
    """A robot's WebSocket connection was established."""
    TELEMETRY_CONNECTION_CLOSED = "telemetry.connection_closed"
    """A robot's WebSocket connection was closed, by either side or by an error."""
    TELEMETRY_METRICS_PUBLISHED = "telemetry.metrics_published"
    """The last readings of a robot were published through the REST API."""


class Entry(NamedTuple):
    """What the catalog knows of an event type."""

    name: EventType
    payload: type[Struct]
    source: str
    priority: Literal["low", "medium"]
    severity: Severity
    severity_unexpected: Severity
    """Severity where the payload's ``reason`` is not an expected one."""
    brief: str


CATALOG: dict[str, Entry] = {
    EventType.METRICS_AGGREGATION_STARTED: Entry(
        EventType.METRICS_AGGREGATION_STARTED,
        payloads.AggregationStarted,
        "metrics_service",
        "low",
        "info",
        "info",
        "A metric aggregation job started executing.",
    ),
    EventType.METRICS_AGGREGATION_COMPLETED: Entry(
        EventType.METRICS_AGGREGATION_COMPLETED,
        payloads.AggregationCompleted,
        "metrics_service",
        "low",
        "info",
        "info",
        "A metric aggregation job completed successfully.",
    ),
    EventType.METRICS_AGGREGATION_FAILED: Entry(
        EventType.METRICS_AGGREGATION_FAILED,
        payloads.AggregationFailed,
        "metrics_service",
        "medium",
        "error",
        "error",
        "A metric aggregation job failed with an error.",
    ),
    EventType.TELEMETRY_CONNECTION_ESTABLISHED: Entry(
        EventType.TELEMETRY_CONNECTION_ESTABLISHED,
        payloads.ConnectionEstablished,
        "telemetry_service",
        "medium",
        "info",
        "info",
        "A robot's WebSocket connection was established.",
    ),
    EventType.TELEMETRY_CONNECTION_CLOSED: Entry(
        EventType.TELEMETRY_CONNECTION_CLOSED,
        payloads.ConnectionClosed,
        "telemetry_service",
        "medium",
        "info",
        "warn",
        "A robot's WebSocket connection was closed, by either side or by an error.",
    ),
    EventType.TELEMETRY_METRICS_PUBLISHED: Entry(
        EventType.TELEMETRY_METRICS_PUBLISHED,
        payloads.MetricsPublished,
        "telemetry_service",
        "low",
        "info",
        "info",
        "The last readings of a robot were published through the REST API.",
    ),
}
"""Event type → entry; the only list of the six."""
