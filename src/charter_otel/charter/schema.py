"""The events as JSON Schema, for readers and writers in other languages."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from charter_otel.charter.catalog import SIX
from charter_otel.charter.entry import Entry
from charter_otel.charter.envelope import VERSION
from charter_otel.charter.event_types import CATALOG
from charter_otel.charter.payloads import CloseReason

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The JSON Schema dialect of the documents."""

_Schemas = dict[str, Any]


def json_schema() -> _Schemas:
    """Return one schema that accepts the six events, those that were declared, and nothing else."""
    return {
        "$schema": DIALECT,
        "title": f"Charter v{VERSION} event",
        "oneOf": [{"$ref": f"#/$defs/{event_type}"} for event_type in CATALOG],
        "$defs": definitions("#/$defs/{name}"),
    }


def definitions(reference: str) -> _Schemas:
    """Return the schema of each event and payload by name.

    The payloads of a program's own types are named ``<module>.payloads.<class>``, so that they
    never clash with a name of the Charter.

    Args:
        reference: Where the definitions stand in the document, with ``{name}`` in it.
    """
    events, payloads = _module(SIX, reference, "{name}")
    _name_reasons(payloads)
    for module, entries in _own_modules().items():
        more_events, more_payloads = _module(entries, reference, f"{module}.payloads.{{name}}")
        events |= more_events
        payloads |= more_payloads
    return {**events, **payloads}


def portable(schema: Any) -> Any:
    r"""Return a schema with Python's ``\Z``, the end of text, as JSON Schema's ``$``."""
    if isinstance(schema, list):
        return [portable(part) for part in schema]
    if isinstance(schema, dict):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" else portable(value)
            for key, value in schema.items()
        }
    return schema


def _name_reasons(payloads: _Schemas) -> None:
    """List the close reasons: a writer uses one of them; a reader of ours takes newer ones too."""
    reason = payloads["ConnectionClosed"]["properties"]["reason"]
    reason["enum"] = [each.value for each in CloseReason]


def _own_modules() -> dict[str, list[Entry]]:
    """Return the types that a program declared, by module."""
    modules: dict[str, list[Entry]] = {}
    for entry in CATALOG.values():
        if entry not in SIX:
            modules.setdefault(entry.name.partition(".")[0], []).append(entry)
    return modules


def _module(entries: Iterable[Entry], reference: str, naming: str) -> tuple[_Schemas, _Schemas]:
    entries = list(entries)
    references, payloads = msgspec.json.schema_components(
        [entry.payload for entry in entries],
        ref_template=reference.format(name=naming),
    )
    events = {
        str(entry.name): _event(entry, payload)
        for entry, payload in zip(entries, references, strict=True)
    }
    named = {naming.format(name=name): portable(payload) for name, payload in payloads.items()}
    for entry, payload in zip(entries, references, strict=True):
        _name_units(entry, named, payload["$ref"], reference)
    return events, named


def _name_units(entry: Entry, named: _Schemas, target: str, reference: str) -> None:
    """Write the unit of each field beside its type."""
    head, _, tail = reference.partition("{name}")
    for path, unit in entry.units.items():
        schema = named[target.removeprefix(head).removesuffix(tail)]
        *outer, last = path.split(".")
        for name in outer:
            link = next(_links(schema["properties"][name]))
            schema = named[link.removeprefix(head).removesuffix(tail)]
        schema["properties"][last]["x-unit"] = unit


def _links(schema: Any) -> Iterator[str]:
    """Yield the references in a field's schema, also inside a list or beside null."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _links(part)


def _event(entry: Entry, payload: _Schemas) -> _Schemas:
    module = entry.name.partition(".")[0]
    properties = {
        "id": {"type": "string", "pattern": f"^evt_{module}_[0-9]{{13}}_[0-9a-z]{{6,}}$"},
        "type": {"const": str(entry.name)},
        "source": {"const": entry.source},
        "target": {"type": "null"},
        "timestamp": {"type": "number", "minimum": 0, "description": "Unix seconds."},
        "payload": payload,
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
        "title": str(entry.name),
        "description": entry.brief,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
