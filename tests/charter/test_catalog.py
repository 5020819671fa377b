"""The catalog holds the specification's table."""

import pytest

from charter_otel.charter import CATALOG, EXPECTED_CLOSE_REASONS, CloseReason, EventType

TABLE = {
    "metrics.aggregation_started": "low",
    "metrics.aggregation_completed": "low",
    "metrics.aggregation_failed": "medium",
    "telemetry.connection_established": "medium",
    "telemetry.connection_closed": "medium",
    "telemetry.metrics_published": "low",
}
CLOSE_REASONS = [
    "client_disconnect",
    "connection_lost",
    "heartbeat_timeout",
    "superseded",
    "protocol_error",
    "message_too_big",
    "rate_limited",
    "token_expired",
    "server_shutdown",
    "server_error",
    "server_lost",
]


def test_priorities() -> None:
    """Types and priorities are those of the specification's event catalog."""
    assert {name: entry.priority for name, entry in CATALOG.items()} == TABLE


@pytest.mark.parametrize("event_type", EventType)
def test_entry_names_its_type_and_source(event_type: EventType) -> None:
    """An entry's source is its module's service."""
    entry = CATALOG[event_type]
    assert entry.name is event_type
    assert entry.source == f"{event_type.partition('.')[0]}_service"
    assert entry.brief.endswith(".")


def test_severities_go_by_outcome() -> None:
    """Only a failed job is an error, and only an unexpected close is a warning."""
    assert {n for n, e in CATALOG.items() if e.severity == "error"} == {
        "metrics.aggregation_failed"
    }
    assert {n for n, e in CATALOG.items() if e.severity != e.severity_unexpected} == {
        "telemetry.connection_closed"
    }


def test_close_reasons() -> None:
    """The close reasons are the contract's closed list, and four of them alarm nobody."""
    assert list(CloseReason) == CLOSE_REASONS
    assert {"client_disconnect", "superseded", "token_expired", "server_shutdown"} == (
        EXPECTED_CLOSE_REASONS
    )
