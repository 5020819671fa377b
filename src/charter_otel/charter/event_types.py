"""The catalog at run time: the six event types, and those that a program declares in addition."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec

from charter_otel.charter.catalog import SIX
from charter_otel.charter.entry import Entry, Priority, Severity
from charter_otel.charter.fields import Fields, fields, has
from charter_otel.charter.ids import is_event_type, is_reserved

PayloadT = TypeVar("PayloadT")

_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class Kind(NamedTuple):
    """A catalog entry, with the values that follow from it for all its events."""

    entry: Entry
    type: str
    id_head: str
    fields: Fields


CATALOG: dict[str, Entry] = {entry.name: entry for entry in SIX}
"""Event type → entry: the six of Charter v1.0, then those that `event_type` declared."""


def event_type(
    name: str,
    *,
    priority: Priority = "low",
    severity: Severity = "info",
    brief: str | None = None,
    attributes: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
) -> Callable[[type[PayloadT]], type[PayloadT]]:
    """Declare an event type of your own, as a decorator of its payload class.

    For example::

        @event_type("orders.order_placed", priority="medium")
        class OrderPlaced(msgspec.Struct):
            \"\"\"A customer placed an order.\"\"\"

            order_id: str
            total: float

    From then on its events are treated like those of the six, everywhere.

    Args:
        name: ``<module>.<event>``, in lower case; ``metrics`` and ``telemetry`` are taken.
        priority: How important it is: ``low``, ``medium`` or ``high``.
        severity: Severity of its log record and its log line: ``info``, ``warn`` or ``error``.
        brief: A sentence; by default the first line of the class's docstring.
        attributes: Path of a field → attribute of the log record, if it is not
            ``charter.<module>.<field>``. A nested field is written ``customer.name``.
        units: Path of a field → unit (UCUM), for the JSON Schema.

    Raises:
        ValueError: The name, an attribute or a path is wrong, or the type is already declared with
            other fields; the text names both places.
        TypeError: The class is neither a msgspec Struct nor a dataclass, or has no JSON Schema.
    """
    _check_name(name)
    frame = inspect.currentframe()
    caller = frame.f_back if frame else None
    place = f"{caller.f_code.co_filename}:{caller.f_lineno}" if caller else "unknown"

    def declare(payload: type[PayloadT]) -> type[PayloadT]:
        declared = Entry(
            name=name,
            payload=payload,
            source=f"{name.partition('.')[0]}_service",
            priority=priority,
            severity=severity,
            severity_unexpected=severity,
            brief=brief or _first_line(payload),
            attributes=dict(attributes or {}),
            units=dict(units or {}),
            place=f"{payload.__module__}.{payload.__qualname__} ({place})",
        )
        kind = _make_kind(declared)
        _check_paths(kind)
        msgspec.json.schema_components([payload])  # so that an odd field is reported here
        _check_is_new(declared)
        _add(kind)
        return payload

    return declare


def kind_of(name: str) -> Kind | None:
    """Return the kind of an event type, or None if this process has not declared it."""
    return _KINDS.get(name)


def name_of(payload: object) -> str | None:
    """Return the event type of a payload object, or None if its class declares none."""
    return _NAMES.get(type(payload))


@contextmanager
def declarations_restored() -> Iterator[None]:
    """Forget the types declared inside the block when it ends; for tests."""
    saved = [dict(table) for table in _TABLES]
    try:
        yield
    finally:
        for table, before in zip(_TABLES, saved, strict=True):
            table.clear()
            table.update(before)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not is_event_type(name):
        raise ValueError(
            f"{name!r:.100} is not an event type: use <module>.<event>, each of a-z 0-9 _ and "
            "beginning with a letter, 64 characters at most"
        )
    if is_reserved(name):
        raise ValueError(
            f"{name!r}: the modules metrics and telemetry belong to Charter v1.0; "
            "name a module of your own"
        )


def _check_paths(kind: Kind) -> None:
    entry = kind.entry
    for path in (*entry.attributes, *entry.units):
        if not has(kind.fields, path):
            raise ValueError(f"{entry.place}: {kind.type} has no field {path!r}")
    for attribute in entry.attributes.values():
        if not _ATTRIBUTE.fullmatch(attribute) or attribute.startswith("otel."):
            raise ValueError(
                f"{entry.place}: {attribute!r} is not an attribute's name; use e.g. shop.order.id"
            )


def _check_is_new(declared: Entry) -> None:
    earlier = CATALOG.get(declared.name)
    if earlier is not None and _shape(earlier) != _shape(declared):
        raise ValueError(
            f"{declared.name} is declared twice with different fields: {earlier.place} and "
            f"{declared.place}; rename one of them, or import the other"
        )
    name = _NAMES.get(declared.payload)
    if name is not None and name != declared.name:
        raise ValueError(f"{declared.place} declares {name} already; use a class for each type")


def _shape(entry: Entry) -> tuple[Any, ...]:
    """Return the facts in which two declarations of a type must agree; a module may load twice."""
    _, components = msgspec.json.schema_components([entry.payload])
    said = (entry.priority, entry.severity, dict(entry.attributes), dict(entry.units))
    return (*said, components)


def _first_line(payload: type[Any]) -> str:
    own = payload.__dict__.get("__doc__") or ""
    # A dataclass without a docstring gets its signature as one.
    first = "" if own.startswith(f"{payload.__name__}(") else own.strip().partition("\n")[0]
    return first or f"{payload.__qualname__}."


def _make_kind(entry: Entry) -> Kind:
    name = str.__str__(entry.name)
    return Kind(entry, name, f"evt_{name.partition('.')[0]}_", fields(entry.payload))


def _add(kind: Kind) -> None:
    CATALOG[kind.type] = kind.entry
    _KINDS[kind.type] = kind
    _NAMES[kind.entry.payload] = kind.type


_KINDS: dict[str, Kind] = {}
_NAMES: dict[type[Any], str] = {}
_TABLES: tuple[dict[Any, Any], ...] = (CATALOG, _KINDS, _NAMES)

for _entry in SIX:
    _add(_make_kind(_entry))
