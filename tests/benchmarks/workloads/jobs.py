"""The aggregation job: its speed, its events, its memory."""

import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from opentelemetry.metrics import NoOpMeterProvider
from redis.asyncio import Redis

from benchmarks import machine
from benchmarks.workloads.emitting import quiet_lines
from charter_otel.emit import Emitter, set_emitter
from charter_otel.metrics import jobs
from charter_otel.metrics.aggregation import aggregate
from charter_otel.metrics.missions import MemoryMissions, MissionStore
from charter_otel.otel import Instrumentation, build, configure_logs
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.service.backend import parse
from charter_otel.streams import connect

_PAGE = 1_000
_PREFIX = "{bench}"
_IN_VAIN = 200
_SILENT = Instrumentation(meter_provider=NoOpMeterProvider())


class Entry(msgspec.Struct):
    """A mission entry, as a bare reader decodes it."""

    mission_id: str
    status: str
    robot_id: str
    duration_ms: float
    timestamp: float


class Job:
    """The job on entries in this process, or in Redis.

    Args:
        url: Redis; None for the store in memory.
        flush: Exports what waits.
    """

    def __init__(self, url: str | None, flush: Callable[[], object]) -> None:
        self._flush = flush
        self._client: Any = Redis.from_url(url, protocol=2) if url else None
        self._stored = parse(url, prefix=_PREFIX).missions() if url else None
        self._data = [_entry(number) for number in range(10_000)]

    async def fill(self, entries: int) -> None:
        """Put entries into Redis."""
        for start in range(0, entries, _PAGE):
            async with self._client.pipeline(transaction=False) as pipeline:
                for number in range(start, start + _PAGE):
                    data = self._data[number % len(self._data)]
                    pipeline.xadd(f"{_PREFIX}:missions", {"data": data})
                await pipeline.execute()

    async def without_events(self, entries: int) -> float:
        """Return the seconds of the aggregation alone."""
        return await self._alone(entries, time.perf_counter)

    async def of_events(self, _: int) -> float:
        """Return the seconds by which events make a run longer, by many runs in vain."""
        return await self._added(time.perf_counter)

    async def cpu_without_events(self, entries: int) -> float:
        """Return the CPU seconds of the aggregation alone."""
        return await self._alone(entries, time.process_time)

    async def cpu_of_events(self, _: int) -> float:
        """Return the CPU seconds that events cost the process, their export included."""
        return await self._added(time.process_time)

    async def rate(self, entries: int) -> float:
        """Return entries per second of the whole job."""
        jobs.set_mission_store(await self._store(entries))
        started = time.perf_counter()
        counted = await jobs.aggregate_mission_metrics()
        assert counted == entries
        return entries / (time.perf_counter() - started)

    async def bare(self, entries: int) -> float:
        """Return entries per second of reading pages and decoding each entry."""
        decode = msgspec.json.Decoder(Entry).decode
        started = time.perf_counter()
        after, read = "-", 0
        while page := await self._client.xrange(f"{_PREFIX}:missions", after, count=_PAGE):
            for _, fields in page:
                decode(fields[b"data"])
            read += len(page)
            after = f"({page[-1][0].decode()}"
        assert read == entries
        return entries / (time.perf_counter() - started)

    async def growth(self, entries: int) -> float:
        """Return the MiB by which the process is larger after the job than before."""
        gc.collect()
        before = machine.private_bytes(os.getpid())
        await self.rate(entries)
        return (machine.private_bytes(os.getpid()) - before) / 2**20

    async def close(self) -> None:
        """Disconnect."""
        if self._stored is not None:
            await self._stored.aclose()
            await self._client.aclose()

    async def _alone(self, entries: int, clock: Callable[[], float]) -> float:
        store = await self._store(entries)
        started = clock()
        counted = await aggregate(store, _SILENT.instruments)
        assert counted == entries
        return clock() - started

    async def _added(self, clock: Callable[[], float]) -> float:
        jobs.set_mission_store(MemoryMissions())
        loud, jobs._emit_event_safe = jobs._emit_event_safe, _emit_nothing
        try:
            quiet = await self._in_vain(clock)
        finally:
            jobs._emit_event_safe = loud
        return await self._in_vain(clock) - quiet

    async def _in_vain(self, clock: Callable[[], float]) -> float:
        self._flush()
        started = clock()
        for _ in range(_IN_VAIN):
            await jobs.aggregate_mission_metrics()
        if clock is time.process_time:
            self._flush()
        return (clock() - started) / _IN_VAIN

    async def _store(self, entries: int) -> MissionStore:
        if self._stored is not None:
            # Without its cursor the job begins with the first entry again.
            await self._client.delete(f"{_PREFIX}:missions:aggregates")
            return self._stored
        store = MemoryMissions()
        for start in range(0, entries, len(self._data)):
            await store.append(self._data[: entries - start])
        return store


@asynccontextmanager
async def job(url: str | None = None) -> AsyncIterator[Job]:
    """Yield the job, with telemetry as the environment says and events in memory."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        providers = build()
        set_emitter(Emitter(providers.instrumentation()))
        stream = connect("memory://")
        await stream.start()
        jobs.set_event_stream(stream)

        def flush() -> None:
            providers.tracer_provider.force_flush()
            providers.logger_provider.force_flush()

        running = Job(url, flush)
        yield running
        await running.close()
        await stream.stop()
        await providers.shutdown()


async def _emit_nothing(event_type: str, payload: Mapping[str, Any]) -> None:
    """Take the place of what emits the job's events."""
    del event_type, payload


def _entry(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "mission_id": f"mission_{number}",
            "status": ("completed", "running", "failed")[number % 3],
            "robot_id": f"robot_{number % 1_000}",
            "duration_ms": 1_000.5 + number,
            "timestamp": 1_703_003_456.5 + number,
        }
    )
