"""Event types, chosen by patterns."""

from collections.abc import Sequence

from charter_otel.charter.catalog import CATALOG


def resolve(patterns: Sequence[str]) -> frozenset[str]:
    """Return the event types that the patterns stand for.

    Raises:
        ValueError: A pattern matches no event type.
    """
    return frozenset(t for pattern in patterns for t in _matching(pattern))


def _matching(pattern: str) -> list[str]:
    prefix = pattern.removesuffix("*")
    matching = [t for t in CATALOG if t == pattern or (prefix != pattern and t.startswith(prefix))]
    if not matching:
        known = ", ".join(CATALOG)
        raise ValueError(f"{pattern!r} matches no event type; there are {known}")
    return matching
