"""Event types, chosen by patterns."""

from collections.abc import Container, Sequence

from charter_otel.charter.event_types import CATALOG
from charter_otel.charter.ids import is_event_type, is_reserved


class EventTypes(Container[str]):
    """The event types that patterns match, including those that this process has not declared.

    Args:
        patterns: Event types; ``*`` and ``orders.*`` stand for several. Without any, the object is
            false, which readers take to mean all types.
    """

    __slots__ = ("_exact", "_prefixes", "patterns")

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self._exact = frozenset(p for p in patterns if not p.endswith("*"))
        self._prefixes = tuple(p.removesuffix("*") for p in patterns if p.endswith("*"))

    def __contains__(self, event_type: object) -> bool:
        return event_type in self._exact or (
            bool(self._prefixes) and str(event_type).startswith(self._prefixes)
        )

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __repr__(self) -> str:
        return f"EventTypes{self.patterns!r}"


def resolve(patterns: Sequence[str], *, undeclared: bool = False) -> EventTypes:
    """Return the event types that the patterns match.

    Args:
        patterns: Event types, or patterns of them.
        undeclared: Whether to accept a type that only another process has declared.

    Raises:
        ValueError: A pattern matches no event type.
    """
    for pattern in patterns:
        if not (_matches_any(pattern) or (undeclared and _may_match(pattern))):
            known = ", ".join(CATALOG)
            raise ValueError(f"{pattern!r} matches no event type; there are {known}")
    return EventTypes(*patterns)


def _matches_any(pattern: str) -> bool:
    prefix = pattern.removesuffix("*")
    return any(t == pattern or (prefix != pattern and t.startswith(prefix)) for t in CATALOG)


def _may_match(pattern: str) -> bool:
    """Return whether a type beyond the Charter's closed list could match."""
    example = f"{pattern.removesuffix('*')}x" if pattern.endswith(".*") else pattern
    return is_event_type(example) and not is_reserved(example)
