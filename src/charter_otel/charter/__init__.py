"""Events: their envelope, their payloads and the catalog. Imports nothing else of the project."""

from charter_otel.charter.catalog import EventType
from charter_otel.charter.entry import Entry
from charter_otel.charter.envelope import (
    VERSION,
    Event,
    InvalidEvent,
    create,
    decode,
    encode,
    type_of,
    validate,
)
from charter_otel.charter.event_types import CATALOG, event_type
from charter_otel.charter.payloads import EXPECTED_CLOSE_REASONS, ROBOT_ID_PATTERN, CloseReason
from charter_otel.charter.robots import ROBOT_ID_RULE, SIMULATED, is_robot_id, is_simulated
from charter_otel.charter.schema import json_schema, portable

__all__ = [
    "CATALOG",
    "EXPECTED_CLOSE_REASONS",
    "ROBOT_ID_PATTERN",
    "ROBOT_ID_RULE",
    "SIMULATED",
    "VERSION",
    "CloseReason",
    "Entry",
    "Event",
    "EventType",
    "InvalidEvent",
    "create",
    "decode",
    "encode",
    "event_type",
    "is_robot_id",
    "is_simulated",
    "json_schema",
    "portable",
    "type_of",
    "validate",
]
