"""Emitting one event, our way and by the bare calls that it stands for; and by logfire."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from opentelemetry.trace import Tracer

from benchmarks.events import EVENT_TYPE, payload
from charter_otel.emit import Emitter
from charter_otel.otel import build, configure_logs
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.server.gc_tuning import settle
from charter_otel.streams import connect

_BLOCK = 50
"""Events in one span: few enough for it to keep them all."""
_PAUSE = 0.02
"""Seconds between two blocks that are timed, which makes about 2,000 events a second."""


class Emitting:
    """Emits events in blocks, each block in a span of its own.

    Args:
        emit: Emits one event.
        tracer: Makes the spans; None where the emitter makes its own.
        flush: Exports what waits.
    """

    def __init__(
        self, emit: Callable[[], object], tracer: Tracer | None, flush: Callable[[], object]
    ) -> None:
        self._emit = emit
        self._tracer = tracer
        self._flush = flush

    async def caller(self, events: int) -> float:
        """Return the microseconds that one event takes its caller: the median of all events.

        Of events one by one, for whatever else runs on the machine interrupts few of those, but
        most of the blocks.
        """
        taken = [ns for _ in range(events // _BLOCK) for ns in await self._block(_PAUSE)]
        return statistics.median(taken) / 1e3

    async def whole(self, events: int) -> float:
        """Return the CPU microseconds of one event in the whole process, export included."""
        self._flush()
        started = time.process_time_ns()
        for _ in range(events // _BLOCK):
            await self._block(0)
        self._flush()
        return (time.process_time_ns() - started) / 1e3 / events

    async def _block(self, pause: float) -> list[int]:
        """Emit the events of one span, and give the nanoseconds that each took."""
        emit, clock = self._emit, time.perf_counter_ns
        taken: list[int] = []
        with self._span():
            for _ in range(_BLOCK):
                started = clock()
                emit()
                taken.append(clock() - started)
        # The loop's other tasks, and the exporters' threads, get their turn.
        await asyncio.sleep(pause)
        return taken

    def _span(self) -> Any:
        return self._tracer.start_as_current_span("block") if self._tracer else nullcontext()


@contextmanager
def quiet_lines() -> Iterator[int]:
    """Yield a file descriptor for the JSON lines, which nobody reads.

    The interpreter is set up as the service does it; for the references, too.
    """
    settle()
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def ours() -> AsyncIterator[Emitting]:
    """Emit with the emitter, as the service does."""
    with quiet_lines() as descriptor:
        configure_logs(service_name="bench", log_format="json", writer=LineWriter(descriptor))
        providers = build()
        emitter = Emitter(providers.instrumentation())
        stream = connect("memory://")
        assert stream
        await stream.start()

        def flush() -> None:
            providers.tracer_provider.force_flush()
            providers.logger_provider.force_flush()

        yield Emitting(
            lambda: emitter.emit(EVENT_TYPE, payload(), stream=stream),
            providers.tracer_provider.get_tracer("bench"),
            flush,
        )
        await stream.stop()
        await providers.shutdown()


@asynccontextmanager
async def bare() -> AsyncIterator[Emitting]:
    """Emit by the calls of the libraries themselves."""
    from benchmarks.references.calls import Calls  # noqa: PLC0415 - the process has one side only

    with quiet_lines() as descriptor:
        calls = Calls(descriptor)
        yield Emitting(calls.emit, calls.tracer, calls.flush)
        calls.shutdown()


@asynccontextmanager
async def logfire() -> AsyncIterator[Emitting]:
    """Emit by `logfire.info`, in its default form but without its console and its cloud."""
    from benchmarks.references.logfire_calls import LogfireCalls  # noqa: PLC0415 - as above

    with quiet_lines():
        calls = LogfireCalls()
        yield Emitting(calls.emit, None, calls.flush)
        calls.shutdown()
