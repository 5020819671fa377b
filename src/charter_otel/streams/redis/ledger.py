"""The record in Redis of the entries that a consumer has in hand."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from charter_otel.streams.redis.layout import Fields


class GroupEntry(NamedTuple):
    """An entry that this consumer holds."""

    id: bytes
    fields: Fields
    begun: int
    """Deliveries that were begun before."""
    counted: bool
    """Whether Redis has counted the next delivery already."""


class Keeper(Protocol):
    """Records in Redis the outcome of entries; a consumer is one."""

    async def count(self, entries: Sequence[GroupEntry], deliveries: int) -> None:
        """Record in Redis how many deliveries were begun."""

    def handled(self, entries: Sequence[GroupEntry]) -> None:
        """Acknowledge entries with the next command."""

    async def dead_letter(self, entry: GroupEntry, error: str, deliveries: int) -> None:
        """Move an entry to the dead letters."""


class EntryLedger:
    """The record in Redis of one entry, or of several delivered together."""

    def __init__(self, consumer: Keeper, entries: Sequence[GroupEntry]) -> None:
        self._consumer = consumer
        self._entries = entries
        self._counted = all(entry.counted for entry in entries)
        """Whether Redis has counted the next delivery already, when it gave the entries."""

    async def count(self, deliveries: int) -> None:
        """Record the delivery that begins now."""
        if not self._counted:
            await self._consumer.count(self._entries, deliveries)
        self._counted = False

    async def postpone(self) -> None:
        """Forget the delivery that was begun; those before it still count."""
        await self._consumer.count(self._entries, max(entry.begun for entry in self._entries))
        self._counted = False

    def done(self) -> None:
        """Acknowledge with the next command."""
        self._consumer.handled(self._entries)

    async def dead_letter(self, error: str, deliveries: int) -> None:
        """Move the entries to the dead letters."""
        for entry in self._entries:
            await self._consumer.dead_letter(entry, error, deliveries)
