"""The aggregation job: its speed, its events, its memory."""

import gc
import os
import time
from collections.abc import AsyncIterator
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
from charter_otel.metrics.missions.redis import RedisMissions
from charter_otel.otel import Instrumentation, build, configure_logs
from charter_otel.otel.lines import LineWriter
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
    """

    def __init__(self, url: str | None) -> None:
        self._client: Any = Redis.from_url(url, protocol=2) if url else None
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
        """Give the CPU seconds of the aggregation alone."""
        store = await self._store(entries)
        started = time.process_time()
        counted = await aggregate(store, _SILENT.instruments)
        assert counted == entries
        return time.process_time() - started

    async def of_events(self, _: int) -> float:
        """Give the CPU seconds that a run's span, events and metrics add, over runs in vain."""
        store = MemoryMissions()
        jobs.set_mission_store(store)
        started = time.process_time()
        for _ in range(_IN_VAIN):
            await jobs.aggregate_mission_metrics()
        with_events = time.process_time() - started
        started = time.process_time()
        for _ in range(_IN_VAIN):
            await aggregate(store, _SILENT.instruments)
        return (with_events - (time.process_time() - started)) / _IN_VAIN

    async def rate(self, entries: int) -> float:
        """Give entries per second of the whole job."""
        jobs.set_mission_store(await self._store(entries))
        started = time.perf_counter()
        counted = await jobs.aggregate_mission_metrics()
        assert counted == entries
        return entries / (time.perf_counter() - started)

    async def bare(self, entries: int) -> float:
        """Give entries per second of reading pages and decoding each entry."""
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
        """Give the MiB by which the process is larger after the job than before."""
        gc.collect()
        before = machine.private_bytes(os.getpid())
        await self.rate(entries)
        return (machine.private_bytes(os.getpid()) - before) / 2**20

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.aclose()

    async def _store(self, entries: int) -> MissionStore:
        if self._client is not None:
            # Without its cursor the job begins with the first entry again.
            await self._client.delete(f"{_PREFIX}:missions:aggregates")
            return RedisMissions(self._client, prefix=_PREFIX)
        store = MemoryMissions()
        for start in range(0, entries, len(self._data)):
            await store.append(self._data[: entries - start])
        return store


@asynccontextmanager
async def job(url: str | None = None) -> AsyncIterator[Job]:
    """Give the job, with telemetry as the environment says and events in memory."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        providers = build()
        set_emitter(Emitter(providers.instrumentation()))
        stream = connect("memory://")
        assert stream
        await stream.start()
        jobs.set_event_stream(stream)
        running = Job(url)
        yield running
        await running.close()
        await stream.stop()
        await providers.shutdown()


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
