"""The six events as JSON Schema, for readers and writers in other languages."""

from typing import Any

import msgspec

from charter_otel.charter.catalog import CATALOG
from charter_otel.charter.envelope import VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The JSON Schema dialect of the documents."""


def json_schema() -> dict[str, Any]:
    """Return one schema that accepts the six events and nothing else."""
    return {
        "$schema": DIALECT,
        "title": f"Charter v{VERSION} event",
        "oneOf": [{"$ref": f"#/$defs/{event_type}"} for event_type in CATALOG],
        "$defs": definitions("#/$defs/{name}"),
    }


def definitions(reference: str) -> dict[str, Any]:
    """Return the schema of each event and payload by name.

    Args:
        reference: Where the definitions stand in the document, with ``{name}`` in it.
    """
    payload_types = [entry.payload for entry in CATALOG.values()]
    _, payloads = msgspec.json.schema_components(payload_types, ref_template=reference)
    events = {event_type: _event(event_type, reference) for event_type in CATALOG}
    return {**events, **{name: portable(payload) for name, payload in payloads.items()}}


def portable(schema: Any) -> Any:
    r"""Return a schema with Python's end of text, ``\Z``, as ``$``, its name in JSON Schema."""
    if isinstance(schema, list):
        return [portable(part) for part in schema]
    if isinstance(schema, dict):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" else portable(value)
            for key, value in schema.items()
        }
    return schema


def _event(event_type: str, reference: str) -> dict[str, Any]:
    entry = CATALOG[event_type]
    module = event_type.partition(".")[0]
    properties = {
        "id": {"type": "string", "pattern": f"^evt_{module}_[0-9]{{13}}_[0-9a-z]{{6,}}$"},
        "type": {"const": event_type},
        "source": {"const": entry.source},
        "target": {"type": "null"},
        "timestamp": {"type": "number", "minimum": 0, "description": "Unix seconds."},
        "payload": {"$ref": reference.format(name=entry.payload.__name__)},
        "meta": {
            "type": "object",
            "properties": {
                "correlation_id": {
                    "type": ["string", "null"],
                    "pattern": "^[0-9a-f]{32}$",
                    "description": "Trace id of the unit of work.",
                },
                "version": {"const": VERSION},
            },
            "required": ["correlation_id", "version"],
            "additionalProperties": False,
        },
    }
    return {
        "title": event_type,
        "description": entry.brief,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
