"""The catalog: what is known of each event type.

Generated from registry/charter.yaml by `make generate`; do not edit.
"""

from enum import StrEnum

from charter_otel.charter import payloads
from charter_otel.charter.entry import Entry


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


SIX: tuple[Entry, ...] = (
    Entry(
        EventType.METRICS_AGGREGATION_STARTED,
        payloads.AggregationStarted,
        "metrics_service",
        "low",
        "info",
        "info",
        "A metric aggregation job started executing.",
    ),
    Entry(
        EventType.METRICS_AGGREGATION_COMPLETED,
        payloads.AggregationCompleted,
        "metrics_service",
        "low",
        "info",
        "info",
        "A metric aggregation job completed successfully.",
    ),
    Entry(
        EventType.METRICS_AGGREGATION_FAILED,
        payloads.AggregationFailed,
        "metrics_service",
        "medium",
        "error",
        "error",
        "A metric aggregation job failed with an error.",
    ),
    Entry(
        EventType.TELEMETRY_CONNECTION_ESTABLISHED,
        payloads.ConnectionEstablished,
        "telemetry_service",
        "medium",
        "info",
        "info",
        "A robot's WebSocket connection was established.",
    ),
    Entry(
        EventType.TELEMETRY_CONNECTION_CLOSED,
        payloads.ConnectionClosed,
        "telemetry_service",
        "medium",
        "info",
        "warn",
        "A robot's WebSocket connection was closed, by either side or by an error.",
    ),
    Entry(
        EventType.TELEMETRY_METRICS_PUBLISHED,
        payloads.MetricsPublished,
        "telemetry_service",
        "low",
        "info",
        "info",
        "The last readings of a robot were published through the REST API.",
    ),
)
"""The six; `charter_otel.charter.event_types` adds those that a program declares."""
