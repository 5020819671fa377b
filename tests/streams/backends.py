"""Helpers for the tests of streams: events, an observer that records, and the backends."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Self, cast

from charter_otel.charter import Event, create
from charter_otel.redis.slots import prefixes
from charter_otel.streams import Destination, EventStream, MemoryStream, RedisStream, Start
from charter_otel.streams.redis.partitioned import PartitionedStream
from support.polling import eventually
from support.redis import RedisServer


def started(job: str, *, at_ms: int | None = None) -> Event:
    """Return a ``metrics.aggregation_started``."""
    made = None if at_ms is None else at_ms * 1_000_000
    payload = {"job_id": job, "started_at": 1.5}
    return create("metrics.aggregation_started", payload, timestamp_ns=made)


def failed(job: str) -> Event:
    """Return a ``metrics.aggregation_failed``."""
    payload = {"job_id": job, "error_message": "no", "error_type": "E", "failed_at": 1.5}
    return create("metrics.aggregation_failed", payload)


def established(robot: str) -> Event:
    """Return a ``telemetry.connection_established``."""
    payload = {"robot_id": robot, "connection_id": f"ws_{robot}_1", "connected_at": 1.5}
    return create("telemetry.connection_established", payload)


class DeadLetter(NamedTuple):
    """A dead letter, whichever stream it lies in."""

    event_id: str
    group: str
    error: str
    deliveries: int


class Remembering:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.failures: list[BaseException] = []
        self.drops: list[tuple[int, str]] = []
        self.processed: list[tuple[str, str, str, str, str | None]] = []
        self.raised: list[BaseException] = []
        self.redeliveries: list[str] = []
        self.dead: list[str] = []

    def published(
        self, destination: Destination, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """Count."""
        assert destination.system in {"memory", "redis"}
        assert seconds >= 0
        if error is None:
            self.batches.append(count)
        else:
            self.failures.append(error)

    def dropped(self, count: int, reason: str) -> None:
        """Keep."""
        self.drops.append((count, reason))

    @contextmanager
    def processing(
        self, destination: Destination, group: str, event: Event, traceparent: str | None
    ) -> Iterator[None]:
        """Keep what is handled and what the handler raises."""
        system, name = destination[:2]
        self.processed.append((system, name, group, event.id, traceparent))
        try:
            yield
        except Exception as error:
            self.raised.append(error)
            raise

    @contextmanager
    def processing_batch(
        self, destination: Destination, group: str, batch: Sequence[tuple[Event, str | None]]
    ) -> Iterator[None]:
        """Keep what is handled at once and what the handler raises."""
        with ExitStack() as handled:
            for event, traceparent in batch:
                handled.enter_context(self.processing(destination, group, event, traceparent))
            yield

    def redelivered(self, group: str) -> None:
        """Keep."""
        self.redeliveries.append(group)

    def dead_lettered(self, group: str) -> None:
        """Keep."""
        self.dead.append(group)


class Seen:
    """A handler that keeps what it is given; fails or hangs when told to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failures = 0
        """Number of the next deliveries that fail."""
        self.gate = asyncio.Event()
        """Handlers wait until it is set."""
        self.gate.set()

    async def __call__(self, event: Event) -> None:
        """Handle an event."""
        self.events.append(event)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("told to fail")

    @property
    def ids(self) -> list[str]:
        """The ids of the events in the order of delivery."""
        return [event.id for event in self.events]

    async def has(self, count: int) -> None:
        """Wait for that many deliveries."""
        await eventually(lambda: len(self.events) >= count, f"{count} deliveries")


class Batches:
    """A handler of batches that keeps what it is given; refuses batches with certain events."""

    def __init__(self, *refused: Event) -> None:
        self.given: list[list[Event]] = []
        self.taken: list[Event] = []
        self._refused = refused

    async def __call__(self, events: Sequence[Event]) -> None:
        """Handle a batch."""
        self.given.append(list(events))
        if any(event in self._refused for event in events):
            raise RuntimeError("told to fail")
        self.taken.extend(events)

    async def has(self, count: int) -> None:
        """Wait for that many events."""
        await eventually(lambda: len(self.taken) >= count, f"{count} events")


class Backend(ABC):
    """Makes streams of one kind."""

    name: str
    partitions = 1
    """Streams of which one is made."""

    def __init__(self) -> None:
        self.streams: list[EventStream] = []

    def make(self, **options: Any) -> EventStream:
        """Make a stream; it is stopped at the end of the test."""
        stream = self._make({"redelivery_delay": 0.005, **options})
        self.streams.append(stream)
        return stream

    async def close(self) -> None:
        """Stop the streams."""
        for stream in self.streams:
            await stream.stop(0.2)

    @abstractmethod
    def dead_letters(self, stream: EventStream) -> list[DeadLetter]:
        """Return the stream's dead letters."""

    @abstractmethod
    def _make(self, options: dict[str, Any]) -> EventStream: ...


class MemoryBackend(Backend):
    """Streams within the process."""

    name = "memory"

    def dead_letters(self, stream: EventStream) -> list[DeadLetter]:
        """Return the stream's dead letters."""
        assert isinstance(stream, MemoryStream)
        return [DeadLetter(d.event.id, d.group, d.error, d.deliveries) for d in stream.dead_letters]

    def _make(self, options: dict[str, Any]) -> EventStream:
        return MemoryStream(**options)


class RedisBackend(Backend):
    """Streams in a real Redis."""

    name = "redis"

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server

    def dead_letters(self, stream: EventStream) -> list[DeadLetter]:
        """Return the stream's dead letters."""
        del stream
        return [_dead_letter(fields) for _, fields in self.entries("{charter}:events:dead")]

    def entries(self, key: str = "{charter}:events") -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Return a stream's entries as a stock client sees them."""
        with self.server.client() as client:
            return cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(key))

    def calls(self, command: str) -> int:
        """Return how often a command was called so far, by scripts too."""
        with self.server.client() as client:
            statistics: Any = client.info("commandstats")
        names = [name for name in statistics if name.partition("|")[0] == f"cmdstat_{command}"]
        return sum(int(statistics[name]["calls"]) for name in names)

    def _make(self, options: dict[str, Any]) -> EventStream:
        return RedisStream(self.server.url, **options)


class PartitionedBackend(RedisBackend):
    """Streams in three partitions of a real Redis, of which all events go through the same one."""

    partitions = 3

    def dead_letters(self, stream: EventStream) -> list[DeadLetter]:
        """Return the stream's dead letters."""
        del stream
        return [
            _dead_letter(fields)
            for prefix in prefixes(3)
            for _, fields in self.entries(f"{prefix}:events:dead")
        ]

    def _make(self, options: dict[str, Any]) -> EventStream:
        return PartitionedStream(self.server.url, 3, source=lambda _: "one", **options)


def _dead_letter(fields: dict[bytes, bytes]) -> DeadLetter:
    event = fields[b"event"].partition(b'"id":"')[2].partition(b'"')[0].decode()
    group, error = fields[b"group"].decode(), fields[b"error"].decode()
    return DeadLetter(event, group, error, int(fields[b"deliveries"]))


async def next_of(events: AsyncIterator[Event], within: float = 5.0) -> Event:
    """Wait for the next event that a follower gets."""
    return await asyncio.wait_for(anext(events), within)


class Stopwatch:
    """Measures what a block takes, in seconds."""

    def __enter__(self) -> Self:
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begun


def subscribe(stream: EventStream, *patterns: str, group: str = "g", start: Start = "new") -> Seen:
    """Subscribe a handler that keeps what it gets; by default it gets everything."""
    seen = Seen()
    stream.subscribe(*(patterns or ("*",)), group=group, start=start)(seen)
    return seen


async def published(stream: EventStream, count: int) -> None:
    """Wait until Redis has taken that many events."""
    await eventually(lambda: stream.statistics().published >= count, f"{count} published")


async def abandon(stream: EventStream) -> None:
    """End a stream's tasks as a killed process does: nothing is given back."""
    assert isinstance(stream, RedisStream)
    tasks = [*stream._tasks.values(), *stream._groups._tasks.values()]
    left = set(tasks)
    # asyncio.wait_for, which redis-py sends with, may swallow a cancellation in Python 3.11.
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)
    clients = [*stream._clients, *(c._client for c in stream._groups.consumers)]
    for client in (*clients, *(lease._client for lease in stream._leases)):
        await client.aclose()
    stream._tasks.clear()
    stream._groups._tasks.clear()
    stream._groups.consumers.clear()


async def read_all(stream: EventStream, count: int) -> None:
    """Wait until that many events can be read."""
    deadline = asyncio.get_running_loop().time() + 5
    while len(await stream.read(limit=1000)) < count:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def latest_is(stream: EventStream, event: Event) -> None:
    """Wait until the event is the latest that can be read."""
    deadline = asyncio.get_running_loop().time() + 5
    while [e.id for e in await stream.read(limit=1)] != [event.id]:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
