"""The catalog's entry for an event type, built in or declared by a program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warn", "error"]
Priority = Literal["low", "medium", "high"]


@dataclass(frozen=True, eq=False)
class Entry:
    """An entry of the catalog: the facts about an event type."""

    name: str
    payload: type[Any]
    """The payload's class: a msgspec Struct or a dataclass."""
    source: str
    priority: Priority
    severity: Severity
    severity_unexpected: Severity
    """Severity if the payload's ``reason`` is not an expected one."""
    brief: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Path of a field in the payload → attribute, of a type that a program declared."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Path of a field in the payload → unit, of a type that a program declared."""
    place: str = "charter_otel"
    """The module that declares the type."""
