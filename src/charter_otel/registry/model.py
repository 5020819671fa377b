"""The registry as objects: `charter.yaml`, read and checked for loose ends."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REGISTRY = Path(__file__).with_name("charter.yaml")


@dataclass(frozen=True)
class Member:
    """One value of a closed list."""

    id: str
    value: str
    brief: str
    expected: bool
    metric_only: bool


@dataclass(frozen=True)
class Attribute:
    """An attribute that this registry defines, or one of the semantic conventions (no ``type``)."""

    key: str
    type: str | None
    brief: str
    members: tuple[Member, ...]
    limits: dict[str, Any]

    @property
    def constant(self) -> str:
        """The attribute's name in Python."""
        return self.key.upper().replace(".", "_")

    @property
    def pattern_constant(self) -> str:
        """Name in Python of the regular expression that its values match, if there is one."""
        return self.constant.removeprefix("CHARTER_") + "_PATTERN"


@dataclass(frozen=True)
class Reference:
    """An attribute's place in a signal."""

    key: str
    required: bool
    field: str | None
    same_as: str | None


@dataclass(frozen=True)
class Signal:
    """The fields that events, metrics and spans share."""

    name: str
    brief: str
    attributes: tuple[Reference, ...]
    hints: dict[str, Any]

    @property
    def constant(self) -> str:
        """The signal's name in Python."""
        return self.name.upper().replace(".", "_")


@dataclass(frozen=True)
class MetricDefinition(Signal):
    """A metric: one of ours, or one of the semantic conventions that we record."""

    instrument: str
    unit: str


@dataclass(frozen=True)
class Span(Signal):
    """A span: one of ours, or a refinement of one of the semantic conventions."""

    kind: str
    span_name: str


@dataclass(frozen=True)
class Registry:
    """All declarations, in the order of the file."""

    attributes: dict[str, Attribute]
    events: tuple[Signal, ...]
    metrics: tuple[MetricDefinition, ...]
    spans: tuple[Span, ...]


def load(path: Path = REGISTRY) -> Registry:
    """Read the registry.

    Raises:
        ValueError: A ``charter.*`` reference has no definition, or a definition no reference.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    attributes = {item["key"]: _attribute(item) for item in document["attributes"]}
    registry = Registry(
        attributes=attributes,
        events=tuple(Signal(**_signal(item)) for item in document["events"]),
        metrics=tuple(_metric(i) for i in (*document["metrics"], *document["metric_refinements"])),
        spans=tuple(_span(item) for item in (*document["spans"], *document["span_refinements"])),
    )
    _check(registry)
    for reference in _references(registry):
        attributes.setdefault(reference.key, Attribute(reference.key, None, "", (), {}))
    return registry


def _hints(item: dict[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = item.get("annotations", {}).get("charter", {})
    return hints


def _attribute(item: dict[str, Any]) -> Attribute:
    members = item["type"]["members"] if isinstance(item["type"], dict) else []
    return Attribute(
        key=item["key"],
        type="string" if members else item["type"],
        brief=item["brief"].strip(),
        members=tuple(
            Member(
                m["id"],
                m["value"],
                m["brief"],
                expected=_hints(m).get("expected", False),
                metric_only=_hints(m).get("metric_only", False),
            )
            for m in members
        ),
        limits=_hints(item),
    )


def _reference(item: dict[str, Any]) -> Reference:
    hints = _hints(item)
    required = item.get("requirement_level") == "required"
    return Reference(item["ref"], required, hints.get("field"), hints.get("same_as"))


def _signal(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": item.get("name", item.get("ref")),
        "brief": item.get("brief", "").strip(),
        "attributes": tuple(_reference(a) for a in item.get("attributes", [])),
        "hints": _hints(item),
    }


def _metric(item: dict[str, Any]) -> MetricDefinition:
    common = _signal(item)
    return MetricDefinition(
        **common,
        instrument=item.get("instrument") or common["hints"]["instrument"],
        unit=item.get("unit") or common["hints"]["unit"],
    )


def _span(item: dict[str, Any]) -> Span:
    common = _signal(item) | {"name": item.get("type", item.get("ref"))}
    return Span(**common, kind=item.get("kind", "server"), span_name=item["name"]["note"])


def _references(registry: Registry) -> list[Reference]:
    signals: tuple[Signal, ...] = (*registry.events, *registry.metrics, *registry.spans)
    return [reference for signal in signals for reference in signal.attributes]


def _check(registry: Registry) -> None:
    used = {reference.key for reference in _references(registry)}
    own = {key for key in used if key.startswith("charter.")}
    # Every event has the envelope's attributes, so no event names them.
    defined = {key for key in registry.attributes if not key.startswith("charter.event.")}
    if undefined := own - registry.attributes.keys():
        raise ValueError(f"charter.yaml refers to undefined attributes: {sorted(undefined)}")
    if unused := defined - used:
        raise ValueError(f"charter.yaml defines attributes that no signal uses: {sorted(unused)}")
