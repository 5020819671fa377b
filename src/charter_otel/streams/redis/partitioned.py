"""A stream in partitions, each in a slot of its own, for more than one core of Redis.

All events of a source, a robot or a job, go through the same partition, so their order is kept.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterable,
    Sequence,
)
from functools import partial
from pathlib import Path
from typing import Any

from charter_otel.aio import cancel, spawn
from charter_otel.charter import Event
from charter_otel.charter.ids import milliseconds
from charter_otel.redis.slots import partition_of, prefixes
from charter_otel.streams.base import EventStream
from charter_otel.streams.history import Located, StreamPosition
from charter_otel.streams.redis.stream import RedisStream
from charter_otel.streams.register import OpenRegister
from charter_otel.streams.types import (
    Lease,
    Observer,
    Statistics,
    SubscriberStatistics,
    Subscription,
    TakeOver,
)

Sources = Sequence[AsyncIterator[Event]]

OVERLAP_MS = 1000
"""Milliseconds by which a resuming reader goes back in other partitions: clocks may differ."""


def source_of(event: Event) -> str:
    """Return the robot or the job that an event is about."""
    return str(event.payload.get("robot_id") or event.payload.get("job_id") or "")


class PartitionedStream(EventStream):
    """Carries events through several Redis streams, those of one source in order.

    A subscriber's handler may run for several sources at once. Readers get events in the order in
    which the partitions took them.

    Args:
        url: The Redis; a cluster gives each partition to one of its nodes.
        partitions: How many partitions there are.
        observer: Is notified of what the stream does.
        prefix: The prefix of all keys; ``{charter}`` becomes ``{charter:0}`` and so on.
        spool: Directory for events that Redis does not accept.
        source: Returns the source whose events keep their order: by default the robot or the job.
        options: Further arguments of each `RedisStream`.

    Raises:
        ValueError: The URL or the number is wrong; the text repeats nothing of the URL.
    """

    system = "redis"

    def __init__(
        self,
        url: str,
        partitions: int,
        *,
        observer: Observer | None = None,
        prefix: str = "{charter}",
        spool: Path | None = None,
        source: Callable[[Event], str] = source_of,
        **options: Any,
    ) -> None:
        super().__init__(observer=observer)
        self._source = source
        self.partitions = [
            RedisStream(url, observer=observer, prefix=each, spool=spool, **options)
            for each in prefixes(partitions, prefix)
        ]
        for partition in self.partitions[1:]:
            partition.look_at_redis = False

    def publish_nowait(
        self, event: Event, *, encoded: bytes | None = None, traceparent: str | None = None
    ) -> bool:
        """Queue an event in its source's partition; see `EventStream.publish_nowait`."""
        partition = self.partitions[partition_of(self._source(event), len(self.partitions))]
        return partition.publish_nowait(event, encoded=encoded, traceparent=traceparent)

    def use_register(self, register: OpenRegister | None) -> None:
        """Keep a register in each partition; see `RedisStream.use_register`."""
        for partition in self.partitions:
            partition.use_register(register)

    async def start(self) -> None:
        """Begin to publish and deliver; Redis need not be reachable."""
        await asyncio.gather(*(partition.start() for partition in self.partitions))

    async def stop(self, deadline: float = 5.0) -> None:
        """Stop all partitions at once, within ``deadline`` seconds."""
        await asyncio.gather(*(partition.stop(deadline) for partition in self.partitions))

    async def read(
        self, *, after: str | None = None, types: Container[str] = frozenset(), limit: int = 100
    ) -> Sequence[Event]:
        """Return events by the time at which they came into the stream; see `EventStream.read`."""
        if after is None:
            latest = (partition.reader.recent(types, limit) for partition in self.partitions)
            return _in_order(await asyncio.gather(*latest))[-limit:]
        begins = await self._after(after)
        found = await asyncio.gather(
            *(
                partition.reader.after(mark, types, limit)
                for partition, mark in zip(self.partitions, begins, strict=True)
            )
        )
        return _in_order(found)[:limit]

    def follow(
        self, *, after: str | None = None, types: Container[str] = frozenset()
    ) -> AsyncIterator[Event]:
        """Return events as they come; a resuming reader may get events of the last second again.

        Raises:
            ValueError: ``after`` is not an event id.
            StreamUnavailable: Redis cannot be reached to begin after an event (from the iterator).
        """
        if after is None:
            now = [partition.follow(types=types) for partition in self.partitions]
            return _merged(partial(_given, now))
        milliseconds(after)
        return _merged(partial(self._sources, after, types))

    def statistics(self) -> Statistics:
        """Return the partitions' statistics added up; connected only if all partitions are."""
        each = [partition.statistics() for partition in self.partitions]
        return Statistics(
            system=self.system,
            connected=all(one.connected for one in each),
            error=next((one.error for one in each if one.error), None),
            subscribers=_added([s for one in each for s in one.subscribers]),
            since=max(one.since or 0.0 for one in each),
            restarted_at=max((one.restarted_at for one in each if one.restarted_at), default=None),
            **_sums(Statistics, each),
        )

    def _lease(self, group: str, take_over: TakeOver) -> Lease:
        # One lease for all partitions, or different processes would hold different ones.
        return self.partitions[0]._lease(group, take_over)  # noqa: SLF001 - a stream made of streams

    def subscribed(self, subscription: Subscription) -> None:
        """Deliver to a new subscription, at once if the stream is running."""
        for partition in self.partitions:
            partition.register(subscription)

    async def _sources(self, event_id: str, types: Container[str]) -> Sources:
        begins = await self._after(event_id, overlap=OVERLAP_MS)
        return [
            partition.reader.follow_after(mark, types)
            for partition, mark in zip(self.partitions, begins, strict=True)
        ]

    async def _after(self, event_id: str, *, overlap: int = 0) -> list[StreamPosition]:
        """Return each partition's place after which events are newer than an event.

        Those of the same millisecond are in the order of the partitions.
        """
        places = await asyncio.gather(
            *(partition.reader.place(event_id) for partition in self.partitions)
        )
        own = next((number for number, place in enumerate(places) if place is not None), None)
        place = None if own is None else places[own]
        if own is None or place is None:
            every = (partition.reader.place_or_time(event_id) for partition in self.partitions)
            return await asyncio.gather(*every)
        made, sequence = place
        return [
            (made, sequence) if number == own else (made - overlap + (number < own), -1)
            for number in range(len(self.partitions))
        ]


def _in_order(partitions: Sequence[Sequence[Located]]) -> list[Event]:
    keyed = (
        [(mark[0], number, mark[1], event) for mark, event in partition]
        for number, partition in enumerate(partitions)
    )
    return [event for *_, event in heapq.merge(*keyed, key=lambda placed: placed[:3])]


async def _given(sources: Sources) -> Sources:
    return sources


async def _merged(begin: Callable[[], Awaitable[Sources]]) -> AsyncGenerator[Event, None]:
    """Yield the events of several followers as they come; each waits until its event is taken."""
    queue: asyncio.Queue[Event | Exception | None] = asyncio.Queue(1)
    sources = await begin()
    tasks = [spawn(_pass_on(source, queue), "charter partition follower") for source in sources]
    try:
        for _ in sources:
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
    finally:
        await cancel(*tasks)


async def _pass_on(source: AsyncIterator[Event], queue: asyncio.Queue[Any]) -> None:
    try:
        async for event in source:
            await queue.put(event)
    except Exception as error:  # noqa: BLE001 - the follower gets it
        await queue.put(error)
    else:
        await queue.put(None)


def _sums(kind: type[Any], each: Sequence[Any]) -> dict[str, int]:
    """Return the sums of the statistics that are numbers."""
    names = (name for name, type_ in kind.__annotations__.items() if type_ is int)
    return {name: sum(getattr(one, name) for one in each) for name in names}


def _added(subscribers: Iterable[SubscriberStatistics]) -> tuple[SubscriberStatistics, ...]:
    """Add up the statistics of each group."""
    scores: dict[str, list[SubscriberStatistics]] = defaultdict(list)
    for subscriber in subscribers:
        scores[subscriber.group].append(subscriber)
    return tuple(_sum(group, each) for group, each in scores.items())


def _sum(group: str, scores: list[SubscriberStatistics]) -> SubscriberStatistics:
    return SubscriberStatistics(
        group,
        waiting=next((score.waiting for score in scores if score.waiting), None),
        holder=all(score.holder for score in scores),
        age=max(score.age for score in scores),
        **_sums(SubscriberStatistics, scores),
    )
