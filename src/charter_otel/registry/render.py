"""Files that follow from the registry: Python modules and a page of tables."""

from collections.abc import Iterator
from dataclasses import replace

from charter_otel.registry.model import Attribute, MetricDefinition, Reference, Registry, Signal

NOTICE = "Generated from registry/charter.yaml by `make generate`; do not edit."

_PYTHON_TYPES = {"string": "str", "int": "int", "double": "float"}
_LIMITS = {"minimum": "ge", "maximum": "le"}


def payloads(registry: Registry) -> str:
    """Return ``charter/payloads.py``: a Struct for each event's payload, and the close reasons."""
    parts = [
        f'"""The payloads of the six events, as the specification has them.\n\n{NOTICE}\n"""',
        "from enum import StrEnum\nfrom typing import Annotated, NotRequired, TypedDict",
        "from msgspec import UNSET, Meta, Struct, UnsetType",
        _close_reason(registry.attributes["charter.connection.close_reason"]),
        *[_pattern(a) for a in registry.attributes.values() if "pattern" in a.limits],
    ]
    for event in registry.events:
        parts.extend(_structs(registry, event))
    return "\n\n".join(parts) + "\n"


def catalog(registry: Registry) -> str:
    """Return ``charter/catalog.py``: the six types with payload, source, priority, severity."""
    entries = "\n".join(_entry(event) for event in registry.events)
    types = "\n".join(
        f'    {event.constant} = "{event.name}"\n    """{event.brief}"""'
        for event in registry.events
    )
    return f'''"""The catalog: what is known of each event type.

{NOTICE}
"""

from enum import StrEnum

from charter_otel.charter import payloads
from charter_otel.charter.entry import Entry


class EventType(StrEnum):
    """The six event types of Charter v1.0."""

{types}


SIX: tuple[Entry, ...] = (
{entries}
)
"""The six; `charter_otel.charter.event_types` adds those that a program declares."""
'''


def typed_emit(registry: Registry) -> str:
    """Return ``emit/typed.py``: `emit` as a type checker sees it, each type with its payload."""
    names = ", ".join(f"{event.name!r}, EventType.{event.constant}" for event in registry.events)
    overloads = "\n\n".join(_overload(event) for event in registry.events)
    return f'''"""`emit` as a type checker sees it: each of the six event types with its payload.

{NOTICE}
"""

from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, overload

from msgspec import UNSET, Struct, UnsetType

from charter_otel.charter import Event, EventType, payloads
from charter_otel.streams import EventStream

Stream: TypeAlias = EventStream | UnsetType | None
Six: TypeAlias = Literal[{names}]


class Dataclass(Protocol):
    """An object of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class WrongPayload:
    """Stands in a type checker's message for a payload that does not fit the event type."""


class Emit(Protocol):
    """The type of `charter_otel.emit`."""

{overloads}

    # A type checker has no way to say that a payload is wrong for one of the six and right for any
    # other text. It does complain of a coroutine that nobody awaits; there is none at run time.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Six,
        payload: Mapping[str, Any] | Struct | Dataclass | None = None,
        *,
        stream: Stream = UNSET,
    ) -> Coroutine[Any, Any, WrongPayload]: ...

    @overload
    def __call__(
        self,
        event: str,
        payload: Mapping[str, Any] | Struct | Dataclass,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    @overload
    def __call__(
        self, event: Struct | Dataclass, *, stream: Stream = UNSET
    ) -> Event | None: ...
'''


def semconv(registry: Registry) -> str:
    """Return ``otel/semconv.py``: the names of attributes, events and spans, and the metrics."""
    attributes = "\n".join(_attribute_constant(a) for a in sorted_attributes(registry))
    spans = "\n".join(
        f'SPAN_{span.constant} = "{span.name}"\n"""{span.brief}"""'
        for span in registry.spans
        if span.name.startswith("charter.")
    )
    metrics = "\n".join(_metric(metric) for metric in registry.metrics)
    events = "\n".join(_event_attributes(event) for event in registry.events)
    return f'''"""Names that OpenTelemetry sees: attributes, spans, metrics, and the events' fields.

{NOTICE}
"""

from typing import Literal, NamedTuple

SCHEMA_URL = "https://opentelemetry.io/schemas/1.45.0"
"""Version of the semantic conventions that the names follow."""

# -- attributes

{attributes}

# -- spans

{spans}

# -- metrics


class Metric(NamedTuple):
    """The declaration of a metric."""

    name: str
    instrument: Literal["counter", "updowncounter", "gauge", "histogram"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    observable: bool = False
    boundaries: tuple[float, ...] = ()


{metrics}

METRICS = tuple(each for each in [*globals().values()] if isinstance(each, Metric))
"""All metrics, in the order of the registry."""

# -- events

EVENTS: dict[str, tuple[tuple[str, str], ...]] = {{
{events}
}}
"""Event type → (path of the value in the payload, attribute)."""
'''


def tables(registry: Registry) -> str:
    """Return ``registry/README.md``: the registry for people."""
    lines = [
        "# What charter-otel tells",
        "",
        f"{NOTICE}",
        "",
        "The semantic conventions name what they define; everything else starts with `charter.`.",
        "",
        "## Events",
        "",
    ]
    for event in registry.events:
        lines += [f"### `{event.name}`", "", event.brief, ""]
        lines += ["| payload field | attribute | meaning |", "|---|---|---|"]
        lines += [_field_row(registry, reference) for reference in event.attributes]
        lines.append("")
    lines += ["Every event carries the envelope too:", "", "| attribute | meaning |", "|---|---|"]
    lines += [
        f"| `{a.key}` | {a.brief} |"
        for a in registry.attributes.values()
        if a.key.startswith("charter.event.")
    ]
    lines += ["", "## Metrics", "", "| metric | instrument | unit | attributes | meaning |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| `{m.name}` | {m.instrument} | `{m.unit}` | {_keys(m)} | {m.brief} |"
        for m in registry.metrics
    ]
    lines += ["", "## Spans", "", "| span | kind | name | attributes |", "|---|---|---|---|"]
    lines += [f"| `{s.name}` | {s.kind} | `{s.span_name}` | {_keys(s)} |" for s in registry.spans]
    lines += ["", "## Values", "", "| attribute | value | meaning |", "|---|---|---|"]
    for attribute in registry.attributes.values():
        lines += [f"| `{attribute.key}` | `{m.value}` | {m.brief} |" for m in attribute.members]
    return "\n".join(lines) + "\n"


def sorted_attributes(registry: Registry) -> list[Attribute]:
    """Return our own attributes in the file's order, then those of the conventions by name."""
    own = [a for a in registry.attributes.values() if a.type]
    return own + sorted(
        (a for a in registry.attributes.values() if not a.type), key=lambda a: a.key
    )


def _close_reason(attribute: Attribute) -> str:
    reasons = [m for m in attribute.members if not m.metric_only]
    members = "\n".join(f'    {m.id.upper()} = "{m.value}"\n    """{m.brief}"""' for m in reasons)
    expected = ", ".join(f"CloseReason.{m.id.upper()}" for m in reasons if m.expected)
    return (
        f'class CloseReason(StrEnum):\n    """{attribute.brief}"""\n\n{members}\n\n\n'
        f"EXPECTED_CLOSE_REASONS = frozenset({{{expected}}})\n"
        '"""Reasons that nobody needs to be woken for."""'
    )


def _pattern(attribute: Attribute) -> str:
    brief = attribute.brief.removesuffix(".")
    return (
        f"{attribute.pattern_constant} = {attribute.limits['pattern']!r}\n"
        f'"""{brief}, as a regular expression."""'
    )


def _structs(registry: Registry, event: Signal) -> Iterator[str]:
    fields = [r for r in event.attributes if r.field]
    nested = [r for r in fields if "." in (r.field or "")]
    if nested:
        lines = [_field(registry, r, str(r.field).split(".")[1]) for r in nested]
        brief = "The last readings of a robot."
        yield _struct("Readings", brief, lines)
        inner_fields = [replace(r, field=str(r.field).split(".")[1]) for r in nested]
        yield _typed_dict(registry, "Readings", brief, inner_fields)
    lines, seen = [], set()
    for reference in fields:
        name, _, inner = str(reference.field).partition(".")
        if inner and name not in seen:
            lines.append(f'    {name}: Readings\n    """The readings."""')
        elif not inner:
            lines.append(_field(registry, reference, name))
        seen.add(name)
    yield _struct(event.hints["payload"], event.brief, lines)
    yield _typed_dict(registry, event.hints["payload"], event.brief, fields)


def _overload(event: Signal) -> str:
    payload = f"payloads.{event.hints['payload']}"
    return (
        "    @overload\n    def __call__(  # type: ignore[overload-overlap]\n        self, "
        f"event: Literal[{event.name!r}, EventType.{event.constant}], "
        f"payload: {payload} | {payload}Fields, *, stream: Stream = UNSET) -> Event | None: ..."
    )


def _typed_dict(registry: Registry, name: str, brief: str, fields: list[Reference]) -> str:
    lines: dict[str, str] = {}
    for reference in fields:
        field, _, inner = str(reference.field).partition(".")
        kind = _PYTHON_TYPES[registry.attributes[reference.key].type or ""]
        kind = kind if reference.required else f"NotRequired[{kind}]"
        lines[field] = "Readings | ReadingsFields" if inner else kind
    body = "\n".join(f"    {field}: {kind}" for field, kind in lines.items())
    return f'class {name}Fields(TypedDict):\n    """The same as a mapping: {brief}"""\n\n{body}'


def _struct(name: str, brief: str, lines: list[str]) -> str:
    body = "\n".join(lines)
    return f'class {name}(Struct, frozen=True, kw_only=True):\n    """{brief}"""\n\n{body}'


def _field(registry: Registry, reference: Reference, name: str) -> str:
    attribute = registry.attributes[reference.key]
    meta = {_LIMITS.get(limit, limit): repr(value) for limit, value in attribute.limits.items()}
    if "pattern" in meta:
        meta["pattern"] = attribute.pattern_constant
    meta["description"] = repr(attribute.brief)
    arguments = ", ".join(f"{key}={value}" for key, value in meta.items())
    kind = f"Annotated[{_PYTHON_TYPES[attribute.type or '']}, Meta({arguments})]"
    default = "" if reference.required else " | UnsetType = UNSET"
    return f"    {name}: {kind}{default}"


def _entry(event: Signal) -> str:
    hints = event.hints
    member = f"EventType.{event.constant}"
    unexpected = hints.get("severity_unexpected", hints["severity"])
    return (
        f"    Entry({member}, payloads.{hints['payload']}, {hints['source']!r}, "
        f"{hints['priority']!r}, {hints['severity']!r}, {unexpected!r}, {event.brief!r}),"
    )


def _attribute_constant(attribute: Attribute) -> str:
    line = f'{attribute.constant} = "{attribute.key}"'
    return f'{line}\n"""{attribute.brief}"""' if attribute.brief else line


def _metric(metric: MetricDefinition) -> str:
    attributes = [reference.key.upper().replace(".", "_") for reference in metric.attributes]
    arguments = [repr(metric.name), repr(metric.instrument), repr(metric.unit), repr(metric.brief)]
    if attributes:
        # A comma behind the last of several would put each on a line of its own.
        arguments.append(f"attributes=({', '.join(attributes)}{',' * (len(attributes) == 1)})")
    if metric.hints.get("observable"):
        arguments.append("observable=True")
    if boundaries := metric.hints.get("boundaries"):
        arguments.append(f"boundaries={tuple(boundaries)!r}")
    return f"{metric.constant} = Metric({', '.join(arguments)})"


def _event_attributes(event: Signal) -> str:
    fields = {r.key: r.field for r in event.attributes}
    pairs = [
        (r.field or fields[str(r.same_as)], r.key.upper().replace(".", "_"))
        for r in event.attributes
        if r.field or r.same_as
    ]
    body = ", ".join(f"({field!r}, {constant})" for field, constant in pairs)
    return f"    {event.name!r}: ({body},),"


def _field_row(registry: Registry, reference: Reference) -> str:
    brief = registry.attributes[reference.key].brief
    same = f"as `{reference.same_as}`" if reference.same_as else "not in the payload"
    field = f"`{reference.field}`" if reference.field else same
    return f"| {field} | `{reference.key}` | {brief} |"


def _keys(signal: Signal) -> str:
    return ", ".join(f"`{reference.key}`" for reference in signal.attributes) or "none"
