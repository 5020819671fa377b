"""Unreadable entries in Redis, written by another version or by hand.

Each is skipped, counted, and named once in the log. The other entries are not affected.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog

from charter_otel.aio import describe

NAMED = 100
"""Entries that are named at most; further ones are only counted."""

log = structlog.get_logger(__name__)


UNREADABLE: dict[str, int] = {}
"""Bad entries that this process has skipped, by kind."""


class BadEntries:
    """The bad entries of one kind.

    Args:
        kind: What the entries should be: one of ``charter.entry.kind``.
    """

    def __init__(self, kind: str) -> None:
        self.count = 0
        UNREADABLE.setdefault(kind, 0)
        self._kind = kind
        self._named: set[bytes] = set()

    @contextmanager
    def skipped(self, name: bytes) -> Iterator[None]:
        """Skip the block if the entry with this name cannot be read."""
        try:
            yield
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
            self.count += 1
            UNREADABLE[self._kind] += 1
            if name not in self._named and len(self._named) < NAMED:
                self._named.add(name)
                log.warning(
                    "an entry in Redis is unreadable and is skipped",
                    kind=self._kind,
                    name=name.decode("utf-8", "backslashreplace"),
                    error=describe(error),
                )
