"""Custom resources held against the definitions of the projects that define them.

Kubernetes's own schemas do not have them. `charts/tools.sh` fetches the definitions.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from charts.helm import TOOLS

CRDS = TOOLS / "crds"
GROUPS = ("monitoring.coreos.com", "keda.sh")
"""Groups of the custom resources that the chart can make."""


def is_custom(found: dict[str, Any]) -> bool:
    """Return whether another project defines the object's kind."""
    return found["apiVersion"].partition("/")[0] in GROUPS


def problems(found: dict[str, Any]) -> Iterator[str]:
    """Yield what the definition of the object's kind does not allow, unknown fields included."""
    import jsonschema  # noqa: PLC0415 - it is there where helm is

    schema = _schemas().get((found["apiVersion"], found["kind"]))
    if schema is None:
        yield f"there is no definition of {found['apiVersion']} {found['kind']}"
        return
    for error in jsonschema.Draft7Validator(schema).iter_errors(found):
        yield f"{error.json_path}: {error.message}"


@cache
def _schemas() -> dict[tuple[str, str], Any]:
    """Return the schema of each version of each kind."""
    definitions = [yaml.safe_load(path.read_text())["spec"] for path in CRDS.glob("*.yaml")]
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): _strict(
            version["schema"]["openAPIV3Schema"]
        )
        for spec in definitions
        for version in spec["versions"]
    }


def _strict(schema: Any) -> Any:
    """Return a schema that refuses fields it does not know, as a server asked to be strict does."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(part) for name, part in schema.items()}
    if made.get("type") == "object" and "properties" in made:
        open_ended = made.get("x-kubernetes-preserve-unknown-fields", False)
        made.setdefault("additionalProperties", open_ended)
    return made
