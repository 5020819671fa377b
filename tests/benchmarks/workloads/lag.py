"""Lag of an event loop, with and without a thousand events a second on it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry.trace import Tracer

from benchmarks.events import EVENT_TYPE, payload
from benchmarks.workloads.emitting import quiet_lines
from charter_otel.emit import Emitter
from charter_otel.otel import build, configure_logs
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.streams import EventStream, connect

TICK = 0.001


class Ticker:
    """Sleeps a millisecond again and again, and notes how much longer that took."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def run(self, seconds: float) -> None:
        """Tick for some time."""
        until = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < until:
            await asyncio.sleep(TICK)
            self.late.append(time.perf_counter() - begun - TICK)

    def p99(self) -> float:
        """Return the lateness, in milliseconds, that one tick in a hundred exceeds."""
        ordered = sorted(self.late)
        return ordered[len(ordered) * 99 // 100] * 1e3


class Loop:
    """An event loop.

    Args:
        emitter: Emits; None on a loop without telemetry.
        tracer: Makes the span of each 20 events.
        stream: Where events go.
    """

    def __init__(
        self,
        emitter: Emitter | None = None,
        tracer: Tracer | None = None,
        stream: EventStream | None = None,
    ) -> None:
        self._emitter = emitter
        self._tracer = tracer
        self._stream = stream

    async def p99(self, rate: float, seconds: float) -> float:
        """Return the lag while so many events a second are emitted, in milliseconds."""
        ticker = Ticker()
        emitting = asyncio.create_task(self._emit(rate, seconds))
        await ticker.run(seconds)
        await emitting
        return ticker.p99()

    async def _emit(self, rate: float, seconds: float) -> None:
        if self._emitter is None or self._tracer is None:
            return
        started, emitted = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds:
            with self._tracer.start_as_current_span("work"):
                while emitted < elapsed * rate:
                    self._emitter.emit(EVENT_TYPE, payload(), stream=self._stream)
                    emitted += 1
            await asyncio.sleep(0.002)


@asynccontextmanager
async def ours() -> AsyncIterator[Loop]:
    """Yield a loop on which events are emitted and exported."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        providers = build()
        stream = connect("memory://")
        assert stream
        await stream.start()
        tracer = providers.tracer_provider.get_tracer("bench")
        yield Loop(Emitter(providers.instrumentation()), tracer, stream)
        await stream.stop()
        await providers.shutdown()


@asynccontextmanager
async def silent() -> AsyncIterator[Loop]:
    """Yield a loop on which only the ticker runs."""
    yield Loop()
