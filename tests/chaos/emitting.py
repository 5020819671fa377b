"""A process that emits events at a steady rate, and says which and how it fares.

On stdout: ``emitted <id> <monotonic ns>``, ten times a second ``state <json>``, at the end ``end``.
SIGTERM ends it; SIGUSR1 and SIGUSR2 step its wall clock by an hour forward and back.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import structlog

from charter_otel.emit import Emitter
from charter_otel.otel import build
from charter_otel.streams import RedisStream

HOUR = 3_600_000_000_000
STATE_EVERY = 0.1


class Emitting:
    """The process.

    Args:
        stream: Where the events go.
        rate: Events a second.
    """

    def __init__(self, stream: RedisStream, rate: float) -> None:
        self.stopping = asyncio.Event()
        self._step = 0
        self._stream = stream
        self._rate = rate
        self._imbalances = 0
        self._lag = 0.0
        self._count = 0
        self._providers = build(service_version="1")
        instrumentation = self._providers.instrumentation()
        self._emitter = Emitter(instrumentation, clock=lambda: time.time_ns() + self._step)

    async def run(self) -> None:
        """Emit until told to stop, and stop within the time that the service has."""
        await self._stream.start()
        saying = asyncio.create_task(self._say_states())
        await self._emit()
        saying.cancel()
        begun = time.monotonic()
        await self._stream.stop(3.0)
        await self._providers.shutdown(3.0)
        self._say("state", json.dumps(self._state() | {"stop": time.monotonic() - begun}))
        self._say("end", "")

    def step_clock(self, nanoseconds: int) -> None:
        """Set the wall clock forward or back."""
        self._step += nanoseconds

    async def _emit(self) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            self._lag = max(self._lag, time.monotonic() - due)
            payload = {"job_id": f"job-{self._count}", "started_at": time.time()}
            event = self._emitter.emit("metrics.aggregation_started", payload, stream=self._stream)
            assert event is not None
            self._say("emitted", f"{event.id} {time.monotonic_ns()}")
            self._count += 1
            self._balance()
            due += 1 / self._rate
            await asyncio.sleep(due - time.monotonic())

    def _balance(self) -> None:
        now = self._stream.statistics()
        waiting = now.queued + now.spooled
        if now.accepted + now.recovered != now.published + waiting + now.dropped:
            self._imbalances += 1

    async def _say_states(self) -> None:
        while True:
            self._say("state", json.dumps(self._state()))
            await asyncio.sleep(STATE_EVERY)

    def _state(self) -> dict[str, object]:
        state = self._stream.statistics()._asdict()
        del state["subscribers"]
        return state | {"imbalances": self._imbalances, "lag": self._lag}

    @staticmethod
    def _say(kind: str, text: str) -> None:
        os.write(1, f"{kind} {text}\n".encode())


async def main(url: str, state: str, rate: str, capacity: str) -> None:
    """Run until SIGTERM."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stream = RedisStream(url, spool=Path(state) / "spool", capacity=int(capacity))
    emitting = Emitting(stream, float(rate))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, emitting.stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, emitting.step_clock, HOUR)
    loop.add_signal_handler(signal.SIGUSR2, emitting.step_clock, -HOUR)
    await emitting.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
