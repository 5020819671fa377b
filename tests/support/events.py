"""Charter events for tests: the specification's examples, and any valid payload."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from charter_otel.charter import CloseReason, EventType

EXAMPLES: dict[str, dict[str, Any]] = {
    example["type"]: example
    for example in json.loads(
        (Path(__file__).parents[1] / "charter" / "examples.json").read_text(encoding="utf-8")
    )
}
"""The specification's example events, by type."""

PAYLOADS: dict[str, dict[str, Any]] = {
    event_type: example["payload"] for event_type, example in EXAMPLES.items()
}
"""The payloads of the specification's examples, by type."""

_seconds = st.floats(min_value=0, max_value=4e9)
_percent = st.floats(min_value=0, max_value=100)
_positive = st.floats(min_value=0, allow_infinity=False)
_robot_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True)
_connection_ids = st.text(min_size=1, max_size=128)
_texts = st.text()

payloads: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    EventType.METRICS_AGGREGATION_STARTED: st.fixed_dictionaries(
        {"job_id": _texts, "started_at": _seconds}
    ),
    EventType.METRICS_AGGREGATION_COMPLETED: st.fixed_dictionaries(
        {
            "job_id": _texts,
            "entries_processed": st.integers(0, 2**53 - 1),
            "duration_ms": _positive,
            "completed_at": _seconds,
        }
    ),
    EventType.METRICS_AGGREGATION_FAILED: st.fixed_dictionaries(
        {"job_id": _texts, "error_message": _texts, "error_type": _texts, "failed_at": _seconds}
    ),
    EventType.TELEMETRY_CONNECTION_ESTABLISHED: st.fixed_dictionaries(
        {"robot_id": _robot_ids, "connection_id": _connection_ids, "connected_at": _seconds}
    ),
    EventType.TELEMETRY_CONNECTION_CLOSED: st.fixed_dictionaries(
        {
            "robot_id": _robot_ids,
            "connection_id": _connection_ids,
            "duration_seconds": _positive,
            "disconnected_at": _seconds,
        },
        optional={"reason": st.sampled_from([str(reason) for reason in CloseReason])},
    ),
    EventType.TELEMETRY_METRICS_PUBLISHED: st.fixed_dictionaries(
        {
            "robot_id": _robot_ids,
            "metrics": st.fixed_dictionaries(
                {
                    "cpu_usage": _percent,
                    "memory_usage": _percent,
                    "network_latency_ms": _positive,
                    "battery_percentage": _percent,
                }
            ),
            "published_at": _seconds,
        }
    ),
}
"""Any valid payload, by event type."""

typed_payloads = st.sampled_from(list(payloads)).flatmap(
    lambda event_type: st.tuples(st.just(event_type), payloads[event_type])
)
"""An event type and any valid payload of it."""

correlation_ids = st.none() | st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
timestamps_ns = st.integers(0, 4 * 10**18)
