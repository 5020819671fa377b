"""What an event is: the envelope, the six payloads, the catalog. Knows nothing else."""

from charter_otel.charter.catalog import CATALOG, Entry, EventType
from charter_otel.charter.envelope import (
    VERSION,
    Event,
    InvalidEvent,
    create,
    decode,
    encode,
    validate,
)
from charter_otel.charter.payloads import EXPECTED_CLOSE_REASONS, CloseReason
from charter_otel.charter.schema import json_schema

__all__ = [
    "CATALOG",
    "EXPECTED_CLOSE_REASONS",
    "VERSION",
    "CloseReason",
    "Entry",
    "Event",
    "EventType",
    "InvalidEvent",
    "create",
    "decode",
    "encode",
    "json_schema",
    "validate",
]
