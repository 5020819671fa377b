"""The task that brings a group's entries to its handler."""

import time
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from charter_otel.aio import Backoff, describe
from charter_otel.charter import InvalidEvent
from charter_otel.redis import commands
from charter_otel.redis.script import Script
from charter_otel.streams.delivery import Delivery
from charter_otel.streams.redis.health import RedisHealth
from charter_otel.streams.redis.layout import EVENT, StreamKeys, fields_of, parse
from charter_otel.streams.redis.ledger import EntryLedger, GroupEntry
from charter_otel.streams.types import BatchHandler, LeaseLost, Subscription

log = structlog.get_logger(__name__)

BATCH = 100
"""Maximum number of entries per read."""

BLOCK = 250
"""Milliseconds for which a read waits; well below the socket's timeout."""

ACK_EVERY = 0.1
"""Longest wait of an acknowledgement while handlers run, in seconds."""

DEAD_LETTERS = 100_000
"""Maximum number of dead letters that are kept, approximately."""

LOOK_AFTER = 1.0
"""Seconds without a read that emptied the stream, after which to check for trimmed entries."""

_CLAIM_SECONDS = 5.0
_NEVER = float("-inf")


class GroupConsumer:
    """One consumer of a group: takes over others' entries, reads, delivers, acknowledges.

    An entry is *held* from its read until its acknowledgement, and *fresh* until its first delivery
    begins. Once it was handled it is *done*, and the next command acknowledges it; given up, it is
    a dead letter at once. After a failure, entries that are held are claimed and delivered again.
    At a stop they go to the next consumer, and those still fresh do not count as delivered.

    Args:
        client: A client of the consumer's own.
        layout: The keys.
        identity: The consumer's name, unique in its group.
        subscription: The group and its event types.
        delivery: Hands events to the handler.
        health: Is notified of successes and failures.
        min_idle: Seconds after which a consumer's unacknowledged entries are taken over.
    """

    def __init__(
        self,
        client: Redis,
        layout: StreamKeys,
        identity: str,
        subscription: Subscription,
        delivery: Delivery,
        *,
        health: RedisHealth,
        min_idle: float,
    ) -> None:
        self.group = subscription.group
        self.name = f"group {subscription.group}"
        self.identity = identity
        self._member = (self.group, identity)
        self.backoff = Backoff()
        self.delivery = delivery
        self.held: dict[bytes, None] = {}
        """Ids of the entries that were read and are not acknowledged yet."""
        self._client = client
        self._layout = layout
        self._lease = subscription.lease
        self._start = subscription.start
        self._types = subscription.types
        self._batch_handler = subscription.batch_handler
        self._health = health
        self._min_idle = min_idle
        self._created = False
        """Whether the group exists, as far as this consumer knows."""
        self._position: bytes | None = None
        """The last entry that was read; a recreated group resumes there."""
        self._fresh: set[bytes] = set()
        """Held entries whose first delivery has not begun: at a stop it does not count."""
        self._done: list[bytes] = []
        """Entries that were handled, and are acknowledged with the next command."""
        self._last_acknowledged = 0.0
        """Monotonic time of the last acknowledgement."""
        self._claimed = 0.0
        """Monotonic time of the last look for entries of dead consumers."""
        self._claim = Script(__package__, "claim")
        self._dead_letter = Script(__package__, "dead_letter")
        self._missed = Script(__package__, "missed")
        self._looked = _NEVER
        """Monotonic time of the last read that emptied the stream; -inf if it gave a full batch."""
        self._release = Script(__package__, "release")
        self._resume = Script(__package__, "resume")

    async def ensure(self, client: Redis) -> None:
        """Create the group if it does not exist.

        Raises:
            RedisError: Redis cannot be reached, or refuses.
        """
        if self._created:
            return
        position = "$" if self._start == "new" else "0"
        if self._position is not None:
            # The group vanished, alone or with its stream: it goes on where it was, if possible.
            position = await self._resume(client, [self._layout.events], self._position)
        try:
            await client.xgroup_create(self._layout.events, self.group, position, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._created = True

    async def session(self) -> None:
        """Deliver until something fails; held entries are claimed by the next session."""
        await self.ensure(self._client)
        self._health.succeeded(self.name)
        try:
            await self._acknowledge()
            self.held.clear()
            if self._lease is not None:
                await self._lease.wait()
            # Only the holder of a lease consumes: it claims the former holders' entries at once.
            await self._take_over(of=self.identity if self._lease is None else "", idle=0)
            self._fresh.clear()
            while True:
                self.delivery.checkpoint()
                if time.monotonic() - self._claimed > min(self._min_idle / 2, _CLAIM_SECONDS):
                    self._claimed = time.monotonic()
                    await self._acknowledge()
                    await self._take_over(of="", idle=self._min_idle)
                entries = await self._read()
                self.delivery.checkpoint()
                await self._handle(entries)
                self.backoff.reset()
                self._health.succeeded(self.name)
        except LeaseLost:
            await self.release()
            self.held.clear()
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._created = False
            self._position = self._position or b"0-0"
            log.warning(
                "consumer group was lost and is rebuilt; it goes on where it was, or at the"
                " beginning of a stream that began anew",
                group=self.group,
            )

    async def release(self) -> None:
        """Acknowledge handled entries and leave the rest to the next consumer.

        Raises:
            RedisError: Redis cannot be reached; others take over after ``min_idle``.
        """
        await self._acknowledge()
        idle = int(self._min_idle * 1000) + 1
        keys = [self._layout.events]
        await self._release(self._client, keys, self.group, self.identity, idle, *self._fresh)
        self._fresh.clear()

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _read(self) -> Sequence[GroupEntry]:
        if time.monotonic() - self._looked > LOOK_AFTER:
            # A consumer that keeps up need not check.
            keys, last = [self._layout.events], self._position or b""
            self.delivery.trimmed(await self._missed(self._client, keys, self.group, last))
        done = tuple(self._done)
        raw = await commands.acknowledge_and_wait(
            self._client, self._layout.events, self._member, done, count=BATCH, block=BLOCK
        )
        self._acknowledged(done)
        self._looked = _NEVER if len(raw) == BATCH else time.monotonic()
        entries = [GroupEntry(entry_id, fields, 0, counted=True) for entry_id, fields in raw]
        if entries:
            self._position = entries[-1].id
            self._fresh.update([entry.id for entry in entries])
        return entries

    async def _take_over(self, *, of: str, idle: float) -> None:
        """Deliver a consumer's entries (any: "") that have been idle for ``idle`` seconds."""
        keys, milliseconds = [self._layout.events], int(idle * 1000)
        while True:
            trimmed, *claimed = await self._claim(
                self._client, keys, self.group, self.identity, milliseconds, BATCH, of
            )
            self.delivery.trimmed(trimmed)
            # Entries that this consumer read but never began to deliver do not count.
            await self._handle(
                [
                    GroupEntry(
                        id_, fields_of(flat), 0 if id_ in self._fresh else begun, counted=False
                    )
                    for id_, begun, flat in claimed
                ]
            )
            await self._acknowledge()
            if len(claimed) + trimmed < BATCH:
                return

    async def _handle(self, entries: Sequence[GroupEntry]) -> None:
        self.held |= dict.fromkeys([entry.id for entry in entries])
        if self._batch_handler is not None and len(entries) > 1:
            entries = await self._deliver_batch(self._batch_handler, entries)
            self.delivery.checkpoint()
        for entry in entries:
            await self._deliver(entry)
            self.delivery.checkpoint()
            if time.monotonic() - self._last_acknowledged > ACK_EVERY:
                await self._acknowledge()

    async def _deliver_batch(
        self, handler: BatchHandler, entries: Sequence[GroupEntry]
    ) -> Sequence[GroupEntry]:
        """Deliver entries as a batch, and return those that are to be delivered one by one.

        All entries if one was delivered before or is not an event, or if the subscriber does not
        take the batch; otherwise none.
        """
        if not all(entry.counted for entry in entries):
            return entries
        try:
            contents = [parse(entry.fields) for entry in entries]
        except InvalidEvent:
            return entries
        self._fresh.difference_update([entry.id for entry in entries])
        wanted = [content for content in contents if content.event.type in self._types]
        ledger = EntryLedger(self, entries)
        if not wanted:
            ledger.done()
        elif not await self.delivery.settle_batch(handler, wanted, ledger):
            return entries
        return ()

    async def _deliver(self, entry: GroupEntry) -> None:
        self._fresh.discard(entry.id)
        ledger = EntryLedger(self, [entry])
        try:
            content = parse(entry.fields)
        except InvalidEvent as invalid:
            await ledger.dead_letter(describe(invalid), entry.begun + 1)
            return
        if content.event.type in self._types:
            await self.delivery.settle(*content, entry.begun, ledger)
        else:
            ledger.done()

    async def count(self, entries: Sequence[GroupEntry], deliveries: int) -> None:
        """Record in Redis how many deliveries were begun, in case this process dies."""
        ids = [entry.id for entry in entries]
        await commands.keep(
            self._client, self._layout.events, self._member, ids, deliveries=deliveries
        )

    def handled(self, entries: Sequence[GroupEntry]) -> None:
        """Acknowledge entries with the next command."""
        self._done.extend([entry.id for entry in entries])

    async def dead_letter(self, entry: GroupEntry, error: str, deliveries: int) -> None:
        """Move an entry to the dead letters."""
        fields = {
            "event": entry.fields.get(EVENT, b""),
            "group": self.group,
            "error": error,
            "deliveries": deliveries,
            "entry": entry.id,
        }
        flat = [part for field in fields.items() for part in field]
        keys = [self._layout.events, self._layout.dead]
        await self._dead_letter(self._client, keys, self.group, entry.id, DEAD_LETTERS, *flat)
        self.held.pop(entry.id, None)
        self.delivery.dead_letter(entry.id.decode(), error, deliveries)

    async def _acknowledge(self) -> None:
        done = tuple(self._done)
        if done:
            await commands.acknowledge(self._client, self._layout.events, self._member, done)
        self._acknowledged(done)

    def _acknowledged(self, done: Sequence[bytes]) -> None:
        self._last_acknowledged = time.monotonic()
        for entry_id in done:
            self.held.pop(entry_id, None)
        del self._done[: len(done)]
