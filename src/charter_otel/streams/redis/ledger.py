"""The entries that a consumer holds, and the record that Redis has of them.

        read                            claimed from a consumer, this one included
          │                                     │
          ▼      its first delivery begins      ▼    the handler took it
        FRESH ───────────────────────────▶ DELIVERING ──────────────────▶ DONE
                                             │      ▲                      │ the next command
                                    given up │      │ claimed again        ▼
                                             ▼      └─ after a failure   acknowledged
                                        dead letter

At a stop the next consumer gets what is not done; for an entry that is still fresh, the delivery
that Redis counted at the read is taken back.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from charter_otel.redis import commands
from charter_otel.redis.script import Script
from charter_otel.streams.delivery import Delivery
from charter_otel.streams.redis.layout import EVENT, Fields, StreamKeys

DEAD_LETTERS = 100_000
"""Maximum number of dead letters that are kept, approximately."""


class GroupEntry(NamedTuple):
    """An entry that a consumer holds."""

    id: bytes
    fields: Fields
    begun: int
    """Deliveries that were begun before."""
    counted: bool
    """Whether Redis has counted the next delivery already."""


class HeldEntries:
    """The entries that a consumer has read, or claimed, and not acknowledged yet."""

    def __init__(
        self, client: Redis, layout: StreamKeys, member: commands.Member, delivery: Delivery
    ) -> None:
        self.ids: dict[bytes, None] = {}
        self.fresh: set[bytes] = set()
        self._done: list[bytes] = []
        self.acknowledged_at = 0.0
        """Monotonic time of the last acknowledgement."""
        self._client = client
        self._layout = layout
        self._member = member
        self._delivery = delivery
        self._dead_letter = Script(__package__, "dead_letter")
        self._release = Script(__package__, "release")

    async def read(self, count: int, block: int) -> list[GroupEntry]:
        """Acknowledge what is done, and read new entries; wait ``block`` milliseconds for one."""
        done = tuple(self._done)
        raw = await commands.acknowledge_and_wait(
            self._client, self._layout.events, self._member, done, count=count, block=block
        )
        self._acknowledged(done)
        entries = [GroupEntry(entry_id, fields, 0, counted=True) for entry_id, fields in raw]
        self.fresh.update([entry.id for entry in entries])
        return entries

    def hold(self, entries: Sequence[GroupEntry]) -> None:
        """Keep entries from being claimed by others, until they are acknowledged."""
        self.ids |= dict.fromkeys([entry.id for entry in entries])

    def begin(self, entries: Sequence[GroupEntry]) -> "EntryLedger":
        """Begin to deliver entries, and return their ledger."""
        self.fresh.difference_update([entry.id for entry in entries])
        return EntryLedger(self, entries)

    async def count(self, entries: Sequence[GroupEntry], deliveries: int) -> None:
        """Record in Redis how many deliveries were begun, in case this process dies."""
        ids = [entry.id for entry in entries]
        await commands.keep(
            self._client, self._layout.events, self._member, ids, deliveries=deliveries
        )

    def done(self, entries: Sequence[GroupEntry]) -> None:
        """Acknowledge entries with the next command."""
        self._done.extend([entry.id for entry in entries])

    async def dead_letter(self, entry: GroupEntry, error: str, deliveries: int) -> None:
        """Move an entry to the dead letters."""
        group = self._member[0]
        fields = {
            "event": entry.fields.get(EVENT, b""),
            "group": group,
            "error": error,
            "deliveries": deliveries,
            "entry": entry.id,
        }
        flat = [part for field in fields.items() for part in field]
        keys = [self._layout.events, self._layout.dead]
        await self._dead_letter(self._client, keys, group, entry.id, DEAD_LETTERS, *flat)
        self.ids.pop(entry.id, None)
        self._delivery.dead_letter(entry.id.decode(), error, deliveries)

    async def acknowledge(self) -> None:
        """Acknowledge what is done."""
        done = tuple(self._done)
        if done:
            await commands.acknowledge(self._client, self._layout.events, self._member, done)
        self._acknowledged(done)

    async def release(self, idle: int) -> None:
        """Acknowledge what is done, and leave the rest to the next consumer.

        Args:
            idle: Milliseconds after which it may take an entry over.
        """
        await self.acknowledge()
        keys = [self._layout.events]
        await self._release(self._client, keys, *self._member, idle, *self.fresh)
        self.fresh.clear()

    def _acknowledged(self, done: Sequence[bytes]) -> None:
        self.acknowledged_at = time.monotonic()
        for entry_id in done:
            self.ids.pop(entry_id, None)
        del self._done[: len(done)]


class EntryLedger:
    """The record in Redis of one entry, or of several delivered together."""

    def __init__(self, held: HeldEntries, entries: Sequence[GroupEntry]) -> None:
        self._held = held
        self._entries = entries
        self._counted = all(entry.counted for entry in entries)
        """Whether Redis has counted the next delivery already, when it gave the entries."""

    async def count(self, deliveries: int) -> None:
        """Record the delivery that begins now."""
        if not self._counted:
            await self._held.count(self._entries, deliveries)
        self._counted = False

    async def postpone(self) -> None:
        """Forget the delivery that was begun; those before it still count."""
        await self._held.count(self._entries, max(entry.begun for entry in self._entries))
        self._counted = False

    def done(self) -> None:
        """Acknowledge with the next command."""
        self._held.done(self._entries)

    async def dead_letter(self, error: str, deliveries: int) -> None:
        """Move the entries to the dead letters."""
        for entry in self._entries:
            await self._held.dead_letter(entry, error, deliveries)
