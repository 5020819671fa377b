"""The stream in Redis or Valkey: durable, shared by all processes that name the same server."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Container, Sequence
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from charter_otel.aio import Backoff, end, share, spawn
from charter_otel.charter import Event, encode
from charter_otel.charter.ids import MINUTE, milliseconds
from charter_otel.redis.address import parse_address
from charter_otel.streams.base import EventStream
from charter_otel.streams.bridge import EventLoopBridge
from charter_otel.streams.delivery import MAX_DELIVERIES, REDELIVERY_DELAY
from charter_otel.streams.history import CAPACITY, History
from charter_otel.streams.outbox import Outbox
from charter_otel.streams.pending import PendingEvent
from charter_otel.streams.redis.groups import DeliveryRules, Groups
from charter_otel.streams.redis.health import RedisHealth, run_forever
from charter_otel.streams.redis.layout import StreamKeys, destination_of
from charter_otel.streams.redis.lease import LEASE, RedisLease
from charter_otel.streams.redis.maintenance import GroupMaintenance
from charter_otel.streams.redis.publisher import Publisher
from charter_otel.streams.redis.reader import Reader, event_of
from charter_otel.streams.redis.tail import Tail
from charter_otel.streams.register import OpenRegister
from charter_otel.streams.spool import Spool
from charter_otel.streams.spool.spool import LIMIT
from charter_otel.streams.types import (
    DropReason,
    Lease,
    Observer,
    Statistics,
    Subscription,
    TakeOver,
)

MAX_BYTES = 262_144
"""Size of an envelope beyond which it is refused."""

MIN_IDLE = 30.0
"""Seconds after which a dead consumer's entries are claimed."""

MAX_LENGTH = 1_000_000
"""Maximum number of entries that the stream in Redis holds, approximately."""


class BackgroundTask(Protocol):
    """Work of the stream that has a task of its own."""

    name: str
    backoff: Backoff

    async def session(self) -> None:
        """Work until something fails."""


class RedisStream(EventStream):
    """Carries events through a Redis stream; subscribers are consumer groups.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``.
        observer: Is notified of what the stream does.
        prefix: The prefix of all keys; contains the hash tag.
        capacity: Maximum number of events waiting for publishing; beyond it the oldest is dropped.
        max_length: Maximum number of entries that the stream in Redis holds, approximately.
        history: Latest events that `read` and `follow` know without asking Redis.
        max_deliveries: Failed deliveries after which an event becomes a dead letter.
        redelivery_delay: Seconds before the second delivery.
        min_idle: Seconds after which a dead consumer's entries are claimed.
        lease: Seconds after which another process takes over an exclusive group whose holder died.
        spool: Directory for events that Redis does not accept; without one they wait in memory
            only.
        spool_bytes: Maximum bytes of events that wait on disk; beyond it the oldest are dropped.

    Raises:
        ValueError: The URL or the prefix is wrong; the text repeats nothing of the URL.
    """

    system = "redis"

    def __init__(
        self,
        url: str,
        *,
        observer: Observer | None = None,
        prefix: str = "{charter}",
        capacity: int = CAPACITY,
        max_length: int = MAX_LENGTH,
        history: int = CAPACITY,
        max_deliveries: int = MAX_DELIVERIES,
        redelivery_delay: float = REDELIVERY_DELAY,
        min_idle: float = MIN_IDLE,
        lease: float = LEASE,
        spool: Path | None = None,
        spool_bytes: int = LIMIT,
    ) -> None:
        super().__init__(observer=observer)
        address, layout = parse_address(url), StreamKeys(prefix)
        rules = DeliveryRules(max_deliveries, redelivery_delay, min_idle)
        self._health = RedisHealth(address.name)
        disk = Spool(spool, address.place(prefix), limit=spool_bytes) if spool else None
        self._outbox = Outbox(capacity, drop=self._drop, spool=disk)
        self._groups = Groups(address, layout, rules, self._health, self.observer)
        self._clients = [address.client(prefix) for _ in range(4)]
        publishing, tailing, reading, caring = self._clients
        self._history = History(history, event_of)
        self._tail = Tail(tailing, layout, self._history, self._health)
        self.reader = Reader(reading, layout, self._history, self._tail)
        """Reads events with their places, for a stream that has several partitions."""
        self._maintenance = GroupMaintenance(caring, layout, self._groups, self._tail, self._health)
        self._maintenance.replicas = address.replicas
        self._publisher = Publisher(
            publishing,
            layout,
            destination_of(address, layout),
            self._outbox,
            prepare=self._prepare,
            health=self._health,
            observer=self.observer,
            drop=self._drop,
            max_length=max_length,
            replicas=address.replicas,
        )
        self.look_at_redis = True
        """Whether to check Redis's configuration, and log the settings that break a promise."""
        self._bridge = EventLoopBridge()
        self._address, self._layout, self._lease_seconds = address, layout, lease
        self._leases: list[RedisLease] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        """Whether it was stopped: events that come until the next start are dropped."""
        self._accepted = self._dropped = 0

    def publish_nowait(
        self, event: Event, *, encoded: bytes | None = None, traceparent: str | None = None
    ) -> bool:
        """Queue an event, before `start` too; see `EventStream.publish_nowait`."""
        data = encode(event) if encoded is None else encoded
        minute = milliseconds(event.id) // MINUTE
        return self._bridge.run(self._put, PendingEvent(event.id, minute, data, traceparent))

    def use_register(self, register: OpenRegister | None) -> None:
        """Keep a register of the pairs that events open and close; it moves with the stream.

        Call it before `start`, which publishes the events that an earlier process left.
        """
        self._publisher.register = register

    async def start(self) -> None:
        """Begin to publish and deliver; Redis need not be reachable."""
        if self._tasks:
            return
        self._closed = False
        self._bridge.bind()
        self._tail.open()
        self._maintenance.surveys = self.look_at_redis
        await self._outbox.open()
        for work in self._background():
            self._run(work)
        self._groups.start(self._groups.consumers)

    async def stop(self, deadline: float = 5.0) -> None:
        """Let handlers end, publish the queued events, leave the rest to others, and stop."""
        until = time.monotonic() + deadline
        started = bool(self._tasks)
        if started:
            await self._groups.stop(share(until, 0.8))
        self._closed = True
        if started:
            await asyncio.gather(
                self._flush(share(until, 0.8)), self._groups.release(share(until, 0.8))
            )
            await asyncio.gather(*(end(task, 0.0) for task in self._tasks.values()))
            self._tasks.clear()
            await asyncio.gather(*(lease.release() for lease in self._leases))
        await self._outbox.close(until)
        if left := self._outbox.clear():
            self._drop(left, "unreachable" if started else "stopped")
        self._tail.close()
        self._bridge.unbind()
        self._health.forget()
        await self._close()

    async def read(
        self, *, after: str | None = None, types: Container[str] = frozenset(), limit: int = 100
    ) -> Sequence[Event]:
        """Return events, before `start` too; see `EventStream.read`."""
        if after is None:
            return [event for _, event in await self.reader.recent(types, limit)]
        mark = await self.reader.place_or_time(after)
        return [event for _, event in await self.reader.after(mark, types, limit)]

    def follow(
        self, *, after: str | None = None, types: Container[str] = frozenset()
    ) -> AsyncIterator[Event]:
        """Return events as they come, until the stream stops.

        Raises:
            ValueError: ``after`` is not an event id.
            StreamUnavailable: Redis cannot be reached to begin after an event (from the iterator).
        """
        if after is not None:
            milliseconds(after)
            return self._follow_after(after, types)
        return self.reader.follow(types)

    def statistics(self) -> Statistics:
        """Return how the stream is doing; a subscriber's lag is at most a few seconds old."""
        return Statistics(
            system=self.system,
            connected=self._health.connected,
            published=self._publisher.published,
            capacity=self._outbox.capacity,
            dropped=self._dropped,
            subscribers=self._groups.statistics(self._maintenance.backlogs),
            error=self._health.error,
            since=self._health.since,
            restarted=self._health.restarted,
            restarted_at=self._health.restarted_at,
            accepted=self._accepted,
            **self._outbox.counts()._asdict(),
        )

    async def _follow_after(
        self, event_id: str, types: Container[str]
    ) -> AsyncGenerator[Event, None]:
        mark = await self.reader.place_or_time(event_id)
        async for event in self.reader.follow_after(mark, types):
            yield event

    def subscribed(self, subscription: Subscription) -> None:
        """Deliver to a new subscription, at once if the stream is running."""
        consumer = self._groups.add(subscription)
        if self._tasks:
            self._groups.start([consumer])

    def _lease(self, group: str, take_over: TakeOver) -> Lease:
        lease = RedisLease(
            self._address.client(self._layout.events),
            self._layout,
            group,
            holder=self._groups.identity,
            take_over=take_over,
            health=self._health,
            seconds=self._lease_seconds,
        )
        self._leases.append(lease)
        if self._tasks:
            self._run(lease)
        return lease

    def _run(self, work: BackgroundTask) -> None:
        running = run_forever(work.session, work.name, self._health, work.backoff)
        self._tasks[work.name] = spawn(running, f"charter redis {work.name}")

    def _background(self) -> tuple[BackgroundTask, ...]:
        return self._publisher, self._tail, self._maintenance, *self._leases

    async def _prepare(self, client: Redis) -> None:
        # A subscriber or follower "from now on" must not miss this process's next events.
        await self._groups.ensure(client)
        await self._tail.prepare(client)

    def _put(self, event: PendingEvent) -> bool:
        self._accepted += 1
        if self._closed:
            return self._drop(1, "stopped")
        if len(event.data) > MAX_BYTES:
            return self._drop(1, "refused")
        dropped_before = self._dropped
        self._outbox.put(event)
        return self._dropped == dropped_before

    def _drop(self, count: int, reason: DropReason) -> bool:
        self._dropped += count
        self.observer.dropped(count, reason)
        return False

    async def _flush(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._outbox.drained()
        except TimeoutError:
            return

    async def _close(self) -> None:
        closing = [client.aclose() for client in self._clients]
        closing += [lease.close() for lease in self._leases]
        try:
            async with asyncio.timeout(0.2):
                await asyncio.gather(*closing, self._groups.close())
        except TimeoutError:
            return
