"""The event that is measured, with its attributes as bare calls need them."""

import time
from typing import Any

EVENT_TYPE = "telemetry.connection_closed"


def payload() -> dict[str, Any]:
    """Return the payload of a robot's closed connection, the event with the most in it."""
    return {
        "robot_id": "robot_001",
        "connection_id": "ws_robot_001_1703003456_9f8e7d6c",
        "duration_seconds": 1094.5,
        "reason": "client_disconnect",
        "disconnected_at": time.time(),
    }


def attributes(event_id: str, timestamp: float, trace_id: str, p: dict[str, Any]) -> dict[str, Any]:
    """Return the eleven attributes that the event's log record and span event have."""
    return {
        "charter.event.id": event_id,
        "charter.event.type": EVENT_TYPE,
        "charter.event.source": "telemetry_service",
        "charter.event.timestamp": timestamp,
        "charter.event.version": "1.0",
        "charter.event.correlation_id": trace_id,
        "charter.robot.id": p["robot_id"],
        "charter.connection.id": p["connection_id"],
        "charter.connection.duration_seconds": p["duration_seconds"],
        "charter.connection.close_reason": p["reason"],
        "charter.connection.disconnected_at": p["disconnected_at"],
    }
