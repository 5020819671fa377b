"""Labels of robots, such as site and firmware: the accepted ones, and the limit of their values."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from charter_otel.otel import semconv

Labels = Mapping[str, str]
"""Values by the names of their attributes: ``charter.robot.label.<name>``."""

NO_LABELS: Labels = MappingProxyType({})

OTHER = "other"
"""The replacement for a value beyond the cap."""

MOST_VALUES = 100
"""Values that a label may have in an instance."""

MOST_SETS = 200
"""Combinations of values: each is a series of the metrics that count robots."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""The form of a label's name."""

_LONGEST = 64


class AllowedLabels:
    """The labels that the service takes from its robots.

    Other labels of a robot are ignored. The values are kept as long as the instance lives,
    so that a robot's labels never change their meaning.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self._values: dict[str, set[str]] = {name: set() for name in names}
        self._sets: dict[tuple[str | None, ...], Labels] = {}

    @property
    def seen(self) -> list[Labels]:
        """The combinations that robots brought, and the empty one."""
        return [NO_LABELS, *self._sets.values()]

    def choose(self, brought: Mapping[str, str]) -> Labels:
        """Return the labels of a robot that brings these; equal ones are the same object."""
        if not self.names or not brought:
            return NO_LABELS
        values = tuple(self._bounded(name, brought.get(name)) for name in self.names)
        if values not in self._sets and len(self._sets) >= MOST_SETS:
            values = tuple(value and OTHER for value in values)
        labels = self._sets.get(values)
        if labels is None:
            pairs = zip(self.names, values, strict=True)
            labels = self._sets[values] = MappingProxyType(
                {f"{semconv.CHARTER_ROBOT_LABEL}.{name}": value for name, value in pairs if value}
            )
        return labels

    def _bounded(self, name: str, value: str | None) -> str | None:
        if not value:
            return None
        value = value if value.isprintable() else OTHER
        value, known = value[:_LONGEST], self._values[name]
        if value not in known:
            if len(known) >= MOST_VALUES:
                return OTHER
            known.add(value)
        return value


def by_labels(found: Iterable[Labels], allowed: AllowedLabels) -> list[tuple[Labels, int]]:
    """Count equal labels; those that were seen before and are not found count 0."""
    counts = Counter(tuple(sorted(labels.items())) for labels in found)
    for labels in allowed.seen:
        counts.setdefault(tuple(sorted(labels.items())), 0)
    return [(dict(pairs), count) for pairs, count in counts.items()]


def short(labels: Labels) -> dict[str, str]:
    """Return the labels by their own names, as presence shows them."""
    return {name.removeprefix(f"{semconv.CHARTER_ROBOT_LABEL}."): v for name, v in labels.items()}


def named(brought: object) -> Labels:
    """Return labels that presence shows by the names of their attributes."""
    if not isinstance(brought, dict) or not brought:
        return NO_LABELS
    return {f"{semconv.CHARTER_ROBOT_LABEL}.{name}": str(value) for name, value in brought.items()}
