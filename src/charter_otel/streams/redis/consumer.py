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
from charter_otel.streams.redis.layout import StreamKeys, fields_of, parse
from charter_otel.streams.redis.ledger import GroupEntry, HeldEntries
from charter_otel.streams.types import BatchHandler, LeaseLost, Subscription

log = structlog.get_logger(__name__)

BATCH = 100
"""Maximum number of entries per read."""

BLOCK = 250
"""Milliseconds for which a read waits; well below the socket's timeout."""

ACK_EVERY = 0.1
"""Longest wait of an acknowledgement while handlers run, in seconds."""

LOOK_AFTER = 1.0
"""Seconds without a read that emptied the stream, after which to check for trimmed entries."""

_CLAIM_SECONDS = 5.0
_NEVER = float("-inf")


class GroupConsumer:
    """One consumer of a group: claims others' entries, reads, delivers, acknowledges.

    A session goes through these steps. If Redis fails in any of them, the next session begins anew.

    1. Create the group if it is missing, at `_begin`.
    2. Wait for the lease, if the group has one.
    3. Claim the entries that this consumer, or the former holder of the lease, left.
    4. Again and again: claim the entries of dead consumers now and then, read, deliver.

    `charter_otel.streams.redis.ledger` shows the states of an entry.
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
        self.held = HeldEntries(client, layout, (self.group, identity), delivery)
        self.backoff = Backoff()
        self.delivery = delivery
        self._client = client
        self._layout = layout
        self._lease = subscription.lease
        self._start = subscription.start
        self._types = subscription.types
        self._batch_handler = subscription.batch_handler
        self._health = health
        self._min_idle = min_idle
        """Seconds after which a consumer's unacknowledged entries are claimed."""
        self._created = False
        """Whether the group exists, as far as this consumer knows."""
        self._position: bytes | None = None
        """The entry after which the group reads on; a recreated group resumes there."""
        self._claimed = 0.0
        """Monotonic time of the last look for entries of dead consumers."""
        self._claim = Script(__package__, "claim")
        self._missed = Script(__package__, "missed")
        self._looked = _NEVER
        """Monotonic time of the last read that emptied the stream; -inf if it gave a full batch."""
        self._resume = Script(__package__, "resume")

    async def ensure(self, client: Redis) -> None:
        """Create the group if it does not exist.

        Raises:
            RedisError: Redis cannot be reached, or refuses.
        """
        if self._created:
            return
        begin = await self._begin(client)
        try:
            await client.xgroup_create(self._layout.events, self.group, begin, mkstream=True)
            self._position = begin
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
            at = await commands.last_delivered(client, self._layout.events, self.group)
            self._position = self._position or at
        self._created = True

    async def _begin(self, client: Redis) -> bytes:
        """Return the entry after which a new group begins to read."""
        if self._position is not None:
            # The group vanished, alone or with its stream: it goes on where it was, if possible.
            resumed: bytes = await self._resume(client, [self._layout.events], self._position)
            return resumed
        if self._start == "new":
            return await commands.last_id(client, self._layout.events)
        return b"0-0"

    async def session(self) -> None:
        """Deliver until something fails; held entries are claimed by the next session."""
        await self.ensure(self._client)
        self._health.succeeded(self.name)
        try:
            await self.held.acknowledge()
            self.held.ids.clear()
            if self._lease is not None:
                await self._lease.wait()
            # Only the holder of a lease consumes: it claims the former holders' entries at once.
            await self._claim_entries(of=self.identity if self._lease is None else "", idle=0)
            self.held.fresh.clear()
            while True:
                self.delivery.checkpoint()
                if time.monotonic() - self._claimed > min(self._min_idle / 2, _CLAIM_SECONDS):
                    self._claimed = time.monotonic()
                    await self.held.acknowledge()
                    await self._claim_entries(of="", idle=self._min_idle)
                entries = await self._read()
                self.delivery.checkpoint()
                await self._handle(entries)
                self.backoff.reset()
                self._health.succeeded(self.name)
        except LeaseLost:
            await self.release()
            self.held.ids.clear()
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
            RedisError: Redis cannot be reached; others claim the entries after ``min_idle``.
        """
        await self.held.release(int(self._min_idle * 1000) + 1)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _read(self) -> Sequence[GroupEntry]:
        if time.monotonic() - self._looked > LOOK_AFTER:
            # A consumer that keeps up need not check.
            keys, last = [self._layout.events], self._position or b""
            self.delivery.trimmed(await self._missed(self._client, keys, self.group, last))
        entries = await self.held.read(BATCH, BLOCK)
        self._looked = _NEVER if len(entries) == BATCH else time.monotonic()
        if entries:
            self._position = entries[-1].id
        return entries

    async def _claim_entries(self, *, of: str, idle: float) -> None:
        """Deliver a consumer's entries (any: "") that have been idle for ``idle`` seconds."""
        keys, milliseconds, fresh = [self._layout.events], int(idle * 1000), self.held.fresh
        while True:
            trimmed, *claimed = await self._claim(
                self._client, keys, self.group, self.identity, milliseconds, BATCH, of
            )
            self.delivery.trimmed(trimmed)
            # Entries that this consumer read but never began to deliver do not count.
            await self._handle(
                [
                    GroupEntry(id_, fields_of(flat), 0 if id_ in fresh else begun, counted=False)
                    for id_, begun, flat in claimed
                ]
            )
            await self.held.acknowledge()
            if len(claimed) + trimmed < BATCH:
                return

    async def _handle(self, entries: Sequence[GroupEntry]) -> None:
        self.held.hold(entries)
        if self._batch_handler is not None and len(entries) > 1:
            entries = await self._deliver_batch(self._batch_handler, entries)
            self.delivery.checkpoint()
        for entry in entries:
            await self._deliver(entry)
            self.delivery.checkpoint()
            if time.monotonic() - self.held.acknowledged_at > ACK_EVERY:
                await self.held.acknowledge()

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
        ledger = self.held.begin(entries)
        wanted = [content for content in contents if content.event.type in self._types]
        if not wanted:
            ledger.done()
        elif not await self.delivery.settle_batch(handler, wanted, ledger):
            return entries
        return ()

    async def _deliver(self, entry: GroupEntry) -> None:
        ledger = self.held.begin([entry])
        try:
            content = parse(entry.fields)
        except InvalidEvent as invalid:
            await ledger.dead_letter(describe(invalid), entry.begun + 1)
            return
        if content.event.type in self._types:
            await self.delivery.settle(*content, entry.begun, ledger)
        else:
            ledger.done()
