"""The task that brings events from the outbox into Redis."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from charter_otel.aio import Backoff, describe
from charter_otel.redis import commands
from charter_otel.redis.errors import FAILURES
from charter_otel.redis.replication import NotReplicated
from charter_otel.redis.script import Script
from charter_otel.streams.batch_wait import BatchWait
from charter_otel.streams.outbox import Outbox
from charter_otel.streams.pending import PendingEvent
from charter_otel.streams.redis.health import RedisHealth
from charter_otel.streams.redis.layout import StreamKeys
from charter_otel.streams.register import OpenRegister
from charter_otel.streams.types import Destination, DropReason, Observer

log = structlog.get_logger(__name__)

LINGER = 0.01
"""Seconds for which an event waits for others that probably come."""

REMEMBERED = 3600
"""Seconds for which a published event's id is remembered, from the last one of its minute."""

# The server's state, not the entry: all entries would be refused, so they wait.
_STATE = re.compile(
    r"\b(OOM|READONLY|LOADING|MISCONF|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|NOPERM"
    r"|NOAUTH|WRONGPASS|WRONGTYPE|MOVED|ASK)\b"
)
_STATE_ERRORS = (OutOfMemoryError, ReadOnlyError, NoPermissionError)


class Publisher:
    """Publishes in batches, in order, each event once however often a batch is retried.

    It awaits ``prepare`` before each batch, so that no reader misses it.
    """

    name = "publisher"

    def __init__(
        self,
        client: Redis,
        layout: StreamKeys,
        destination: Destination,
        outbox: Outbox,
        *,
        prepare: Callable[[Redis], Awaitable[None]],
        health: RedisHealth,
        observer: Observer,
        drop: Callable[[int, DropReason], object],
        max_length: int,
        replicas: int = 0,
    ) -> None:
        self.published = 0
        self.register: OpenRegister | None = None
        """Which events open and close something; by default no event does."""
        self.backoff = Backoff()
        self._client = client
        self._layout = layout
        self._destination = destination
        self._outbox = outbox
        self._prepare = prepare
        self._health = health
        self._observer = observer
        self._drop = drop
        self._max_length = max_length
        self._replicas = replicas
        self._script = Script(__package__, "publish")
        self._batch_wait = BatchWait(LINGER)

    async def session(self) -> None:
        """Publish until something fails; the batch in hand goes back to the outbox."""
        await self._prepare(self._client)
        if not len(self._outbox):
            await commands.ping(self._client)
            self._health.succeeded(self.name)
        while True:
            await self._outbox.filled()
            await self._batch_wait.wait(len(self._outbox))
            batch = await self._outbox.take()
            try:
                await self._prepare(self._client)
                taken = await self._publish(batch)
            except BaseException:
                self._outbox.give_back()
                raise
            self._outbox.done()
            self.published += taken
            self.backoff.reset()
            self._health.succeeded(self.name)

    async def _publish(self, batch: Sequence[PendingEvent]) -> int:
        """Publish a batch and return the number of events that Redis accepted."""
        try:
            await self._send(batch)
        except ResponseError as error:
            if len(batch) == 1 or isinstance(error, _STATE_ERRORS) or _STATE.search(str(error)):
                raise
            return await self._publish_singly(batch)
        return len(batch)

    async def _publish_singly(self, batch: Sequence[PendingEvent]) -> int:
        """Publish events one by one: a bad one holds up no other; added ones stay added.

        If the server refuses every event, the fault is its own, and the events wait.
        """
        refusals: list[ResponseError] = []
        for event in batch:
            try:
                await self._send([event])
            except ResponseError as error:
                refusals.append(error)
        if len(refusals) == len(batch):
            raise refusals[0]
        if refusals:
            log.error("events refused", count=len(refusals), error=describe(refusals[0]))
            self._drop(len(refusals), "refused")
        return len(batch) - len(refusals)

    async def _send(self, batch: Sequence[PendingEvent]) -> None:
        begun = time.perf_counter()
        failure: BaseException | None = None
        try:
            keys, arguments = self._command(batch)
            await self._script(self._client, keys, *arguments, replicas=self._replicas)
        except FAILURES as error:
            failure = error
            if isinstance(error, NotReplicated):
                # Perhaps another master has the replicas: the next connection asks who it is.
                await self._client.connection_pool.disconnect()
            raise
        finally:
            seconds = time.perf_counter() - begun
            self._observer.published(self._destination, len(batch), seconds, failure)

    def _command(self, batch: Sequence[PendingEvent]) -> tuple[list[str], tuple[int | bytes, ...]]:
        keys = {
            self._layout.events: 1,
            self._layout.register.open: 2,
            self._layout.register.lost: 3,
        }
        packed = []
        for event in batch:
            number = keys.setdefault(self._layout.published(event.minute), len(keys) + 1)
            # Text, because Redis 6.2 reads no MessagePack bytes.
            envelope = event.data.decode("utf-8", "replace")
            mark = self._mark(event)
            packed.append((number, event.id, envelope, event.traceparent or "", *mark))
        return list(keys), (self._max_length, REMEMBERED, msgspec.msgpack.encode(packed))

    def _mark(self, event: PendingEvent) -> tuple[str, ...]:
        if self.register is None:
            return ()
        return self.register.mark(event.data, event.traceparent) or ()
