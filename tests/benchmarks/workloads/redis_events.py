"""Events into Redis and out of it: ours, by awaited commands, and by raw loops."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from redis.asyncio import Redis
from structlog.contextvars import bound_contextvars

from benchmarks.events import EVENT_TYPE, payload
from benchmarks.workloads.emitting import quiet_lines
from charter_otel.charter import Event, create, encode
from charter_otel.emit import Emitter
from charter_otel.otel import StreamTelemetry, build, configure_logs
from charter_otel.otel.instrumentation import Instrumentation
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.streams.pending import BATCH
from charter_otel.streams.redis import RedisStream

_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_PAGE = 100
_SERVER: dict[str, str | int] = {"server.address": "127.0.0.1", "server.port": 6379}
_MAX_LENGTH = 1_000_000


class Ours:
    """The emitter and the Redis stream, as the service has them."""

    def __init__(self, url: str, instrumentation: Instrumentation) -> None:
        self._url = url
        self._instrumentation = instrumentation
        self._emitter = Emitter(instrumentation)
        self._prefixes = (f"{{ours-{os.getpid()}-{number}}}" for number in count())
        self._stream = self._make()

    async def start(self) -> None:
        """Connect."""
        await self._stream.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._stream.stop()

    async def emit(self, events: int) -> float:
        """Emit events; gives events per second until the queue is empty."""
        emit, stream = self._emitter.emit, self._stream
        return await self._drained(events, lambda _: emit(EVENT_TYPE, payload(), stream=stream))

    async def publish(self, events: int) -> float:
        """Publish events that exist; gives events per second until the queue is empty."""
        made = [(event, encode(event)) for event in _events(events)]
        publish = self._stream.publish_nowait

        def one(number: int) -> None:
            event, encoded = made[number]
            publish(event, encoded=encoded, traceparent=_TRACEPARENT)

        return await self._drained(events, one)

    async def consume(self, events: int) -> float:
        """Handle so many events that wait; gives events per second from the first one on."""
        return await self._consume(events, batches=False)

    async def consume_batches(self, events: int) -> float:
        """Handle them by a batch handler."""
        return await self._consume(events, batches=True)

    async def _consume(self, events: int, *, batches: bool) -> float:
        stream = self._make()
        await _fill(self._url, stream_key(stream), events)
        done = asyncio.Event()
        handled, started = 0, 0.0

        async def handle_all(batch: Sequence[Event]) -> None:
            nonlocal handled, started
            if not handled:
                started = time.perf_counter()
            handled += len(batch)
            if handled == events:
                done.set()

        async def handle(event: Event) -> None:
            await handle_all((event,))

        if batches:
            stream.subscribe_batch("*", group="bench", start="earliest")(handle_all)
        else:
            stream.subscribe("*", group="bench", start="earliest")(handle)
        await stream.start()
        await done.wait()
        taken = time.perf_counter() - started
        await stream.stop()
        return events / taken

    async def _drained(self, events: int, one: Callable[[int], object]) -> float:
        started = time.perf_counter()
        for number in range(events):
            one(number)
            if not number % _PAGE:
                await asyncio.sleep(0)
        while self._stream.statistics().queued:  # noqa: ASYNC110 - it does not tell when
            await asyncio.sleep(0.0005)
        assert self._stream.statistics().dropped == 0
        return events / (time.perf_counter() - started)

    def _make(self) -> RedisStream:
        observer = StreamTelemetry(self._instrumentation)
        return RedisStream(
            self._url, observer=observer, prefix=next(self._prefixes), max_length=_MAX_LENGTH
        )


class Plain:
    """The same with redis-py alone."""

    def __init__(self, client: Redis, url: str) -> None:
        self._client: Any = client
        self._url = url
        self._keys = (f"{{plain-{os.getpid()}-{number}}}:events" for number in count())

    async def awaited(self, events: int) -> float:
        """Await one XADD for each event."""
        key, client = next(self._keys), self._client
        started = time.perf_counter()
        for event in _events(events):
            await client.xadd(key, _fields(encode(event)), maxlen=_MAX_LENGTH)
        return events / (time.perf_counter() - started)

    async def origin(self, events: int) -> float:
        """Await four round trips for each event: the stream, its record, an index, a channel."""
        key, client = next(self._keys), self._client
        started = time.perf_counter()
        for event in _events(events):
            data = encode(event)
            await client.xadd(key, {"event": data}, maxlen=_MAX_LENGTH)
            await client.set(f"{key}:{event.id}", data, ex=3_600)
            await client.zadd(f"{key}:by-time", {event.id: event.timestamp})
            await client.publish(f"{key}:{event.type}", data)
        return events / (time.perf_counter() - started)

    async def pipeline(self, events: int) -> float:
        """Add the same entries by pipelines, each as long as a batch of ours."""
        key, made = next(self._keys), [encode(event) for event in _events(events)]
        started = time.perf_counter()
        await _add(self._client, key, made)
        return events / (time.perf_counter() - started)

    async def consume(self, events: int) -> float:
        """Read and acknowledge by hundreds; gives events per second from the first one on."""
        key, client = next(self._keys), self._client
        await _fill(self._url, key, events)
        await client.xgroup_create(key, "bench", "0")
        handled, started = 0, 0.0
        while handled < events:
            reply = await client.xreadgroup("bench", "one", {key: ">"}, count=_PAGE)
            started = started or time.perf_counter()
            entries = reply[0][1]
            await self._look(entries)
            await client.xack(key, "bench", *[entry_id for entry_id, _ in entries])
            handled += len(entries)
        return events / (time.perf_counter() - started)

    async def _look(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Look into no entry: it is a raw loop."""


class Traced(Plain):
    """The raw loop that hands each event to a handler, in a span and with two metrics of it."""

    def __init__(self, client: Redis, url: str, instrumentation: Instrumentation) -> None:
        super().__init__(client, url)
        self._tracer = instrumentation.tracer
        self._duration = instrumentation.instruments.process_duration
        self._critical_time = instrumentation.instruments.critical_time
        self._decode = msgspec.json.Decoder(Event).decode
        self._publisher = TraceContextTextMapPropagator()

    async def _look(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Decode each entry and handle it, by the libraries' own calls."""
        for _, fields in entries:
            event = self._decode(fields[b"event"])
            carrier = {"traceparent": fields[b"traceparent"].decode()}
            publisher = get_current_span(self._publisher.extract(carrier, Context()))
            started = time.perf_counter()
            with (
                self._tracer.start_as_current_span(
                    "process events",
                    Context(),
                    SpanKind.CONSUMER,
                    {
                        "messaging.system.name": "redis",
                        "messaging.operation.name": "process",
                        "messaging.operation.type": "process",
                        "messaging.destination.name": "events",
                        "messaging.consumer.group.name": "bench",
                        **_SERVER,
                        "messaging.message.id": event.id,
                        "messaging.message.conversation_id": event.meta["correlation_id"] or "",
                        "charter.event.type": event.type,
                    },
                    [Link(publisher.get_span_context())],
                ),
                bound_contextvars(correlation_id=event.meta["correlation_id"], event_id=event.id),
            ):
                await self._handle(event)
            group = {"messaging.consumer.group.name": "bench"}
            common = {
                "messaging.system.name": "redis",
                "messaging.operation.name": "process",
                "messaging.destination.name": "events",
                **_SERVER,
                **group,
            }
            self._duration.record(time.perf_counter() - started, common)
            self._critical_time.record(time.time() - event.timestamp, group)

    async def _handle(self, event: Event) -> None:
        """Do nothing with it."""


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Ours]:
    """Yield our side; OpenTelemetry as the environment says."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        providers = build()
        side = Ours(url, providers.instrumentation())
        await side.start()
        yield side
        await side.stop()
        await providers.shutdown()


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[Plain]:
    """Yield redis-py alone."""
    async with Redis.from_url(url, protocol=2) as client:
        yield Plain(client, url)


@asynccontextmanager
async def traced(url: str) -> AsyncIterator[Traced]:
    """Yield redis-py and OpenTelemetry's own calls; exported as the environment says."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        providers = build()
        async with Redis.from_url(url, protocol=2) as client:
            yield Traced(client, url, providers.instrumentation())
        await providers.shutdown()


def stream_key(stream: RedisStream) -> str:
    """Return the key of a stream's entries."""
    return stream._publisher._layout.events


def _events(number: int) -> list[Event]:
    return [create(EVENT_TYPE, payload(), correlation_id="0" * 31 + "1") for _ in range(number)]


def _fields(data: bytes) -> dict[Any, Any]:
    return {"event": data, "traceparent": _TRACEPARENT}


async def _fill(url: str, key: str, events: int) -> None:
    async with Redis.from_url(url, protocol=2) as client:
        await _add(client, key, [encode(event) for event in _events(events)])


async def _add(client: Any, key: str, made: list[bytes]) -> None:
    for start in range(0, len(made), BATCH):
        async with client.pipeline(transaction=False) as pipeline:
            for data in made[start : start + BATCH]:
                pipeline.xadd(key, _fields(data), maxlen=_MAX_LENGTH)
            await pipeline.execute()
