"""Fixtures for the tests of the consumers: events with times that the test sets."""

from collections.abc import Callable

import pytest

from charter_otel.charter import Event, EventType, create

Make = Callable[..., Event]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def established() -> Make:
    """Make the event of a robot that connects."""

    def make(robot_id: str = "robot_001", number: int = 1) -> Event:
        return create(
            EventType.TELEMETRY_CONNECTION_ESTABLISHED,
            {
                "robot_id": robot_id,
                "connection_id": f"ws_{robot_id}_{number}",
                "connected_at": 1000.0 + number,
            },
            correlation_id=TRACE,
        )

    return make


@pytest.fixture
def closed() -> Make:
    """Make the event of a robot that disconnects."""

    def make(
        robot_id: str = "robot_001",
        reason: str = "client_disconnect",
        *,
        number: int = 1,
        seconds: float = 600.0,
    ) -> Event:
        return create(
            EventType.TELEMETRY_CONNECTION_CLOSED,
            {
                "robot_id": robot_id,
                "connection_id": f"ws_{robot_id}_{number}",
                "duration_seconds": seconds,
                "reason": reason,
                "disconnected_at": 2000.0 + number,
            },
            correlation_id=TRACE,
        )

    return make


@pytest.fixture
def started() -> Make:
    """Make the event of a run that starts."""
    return lambda: create(
        EventType.METRICS_AGGREGATION_STARTED, {"job_id": "aggregate", "started_at": 1000.0}
    )


@pytest.fixture
def completed() -> Make:
    """Make the event of a run that completed."""

    def make(milliseconds: float = 500.0, entries: int = 10, *, job_id: str = "aggregate") -> Event:
        return create(
            EventType.METRICS_AGGREGATION_COMPLETED,
            {
                "job_id": job_id,
                "entries_processed": entries,
                "duration_ms": milliseconds,
                "completed_at": 1001.0,
            },
            correlation_id=TRACE,
        )

    return make


@pytest.fixture
def failed() -> Make:
    """Make the event of a run that failed."""
    return lambda job_id="aggregate": create(
        EventType.METRICS_AGGREGATION_FAILED,
        {
            "job_id": job_id,
            "error_message": "Connection to Redis lost",
            "error_type": "RedisConnectionError",
            "failed_at": 1001.0,
        },
        correlation_id=TRACE,
    )


@pytest.fixture
def published() -> Make:
    """Make the event of readings that were published."""

    def make(
        robot_id: str = "robot_001", *, battery: float = 80.0, cpu: float = 40.0, at: float = 0.0
    ) -> Event:
        return create(
            EventType.TELEMETRY_METRICS_PUBLISHED,
            {
                "robot_id": robot_id,
                "metrics": {
                    "cpu_usage": cpu,
                    "memory_usage": 60.0,
                    "network_latency_ms": 12.5,
                    "battery_percentage": battery,
                },
                "published_at": at,
            },
        )

    return make
