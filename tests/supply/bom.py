"""The software bill of materials: what an installation of the package consists of.

cyclonedx-py finds it out in a fresh environment; what it writes is reduced to what a reader
compares with advisories and licences, so that the file changes only with those.
"""

import json
from typing import Any

from supply.pins import ROOT

FILE = ROOT / "src" / "sbom.cdx.json"
"""Goes into the wheel (PEP 770)."""

_COMPONENT = ("type", "bom-ref", "name", "version", "licenses", "purl")


def reduced(document: dict[str, Any]) -> dict[str, Any]:
    """Keep names, versions, licences and who needs whom."""
    metadata = document["metadata"]
    tools = [
        {key: tool[key] for key in ("type", "name", "version")}
        for tool in metadata["tools"]["components"]
    ]
    return {
        **{key: document[key] for key in ("$schema", "bomFormat", "specVersion", "version")},
        "metadata": {
            "tools": {"components": tools},
            "component": _kept(metadata["component"]),
            "properties": metadata["properties"],
        },
        "components": [_kept(component) for component in document["components"]],
        "dependencies": document["dependencies"],
    }


def write(text: str) -> None:
    """Write the reduced form of what cyclonedx-py says."""
    FILE.write_text(json.dumps(reduced(json.loads(text)), indent=1) + "\n", encoding="utf-8")


def _kept(component: dict[str, Any]) -> dict[str, Any]:
    kept = {key: component[key] for key in _COMPONENT if key in component}
    if "licenses" in kept:
        kept["licenses"] = [one for one in map(_license, kept["licenses"]) if one]
    return kept


def _license(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Keep a licence's id or name, and no text of it."""
    if "expression" in entry:
        return {"expression": entry["expression"]}
    named = {key: entry["license"][key] for key in ("id", "name") if key in entry["license"]}
    return {"license": named} if named and len(next(iter(named.values()))) < 100 else None
