"""The service, as `charter-otel serve` runs it, which also emits events at a steady rate.

Its settings come from the environment. The command line has the port, the events a second and, if
it is not the service's own, the capacity of the queue in memory. On stdout it writes ``emitted <id>
<monotonic ns> <connection that the event closes>`` for each event, and ``state <json>`` ten times a
second. The last line is ``end``. The service's own lines go to a file.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from unittest.mock import patch

from msgspec import UNSET, UnsetType

from charter_otel.charter import Event, EventType
from charter_otel.emit import Emitter, get_emitter
from charter_otel.open_files import raise_open_file_limit
from charter_otel.server.server import Server, configure, listen
from charter_otel.service import backend, runtime
from charter_otel.service.app import create_app
from charter_otel.service.plugin import CharterPlugin
from charter_otel.service.settings import Settings, load
from charter_otel.streams import EventStream, RedisStream
from charter_otel.streams.history import CAPACITY
from charter_otel.streams.redis.lease import LEASE
from charter_otel.streams.types import Observer

STATE_EVERY = 0.1

MIN_IDLE = 2.0
"""Seconds after which what a dead consumer left is taken over; a run cannot wait for thirty."""

_stdout = os.dup(1)


def _say(*words: object) -> None:
    os.write(_stdout, f"{' '.join(map(str, words))}\n".encode())


class ReportingEmitter(Emitter):
    """Emits as the service does, and says so."""

    def emit(
        self,
        event: object,
        payload: object = None,
        *,
        stream: EventStream | UnsetType | None = UNSET,
    ) -> Event | None:
        """Emit an event and say its id; never raises."""
        emitted = super().emit(event, payload, stream=stream)
        if emitted is not None:
            closes = emitted.type == EventType.TELEMETRY_CONNECTION_CLOSED
            connection = emitted.payload["connection_id"] if closes else ""
            _say("emitted", emitted.id, time.monotonic_ns(), connection)
        return emitted


class Emitting:
    """Emits into a running service, until that is about to stop.

    Args:
        service: What runs behind the routes.
        rate: Events a second; with none it only says how the service fares.
    """

    def __init__(self, service: runtime.Runtime, rate: float) -> None:
        self._service = service
        self._rate = rate
        self._imbalances = 0
        self._lag = 0.0
        self._stopping_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; the service has started."""
        work = [self._say_states(), self._note_the_stop(), *([self._emit()] if self._rate else [])]
        self._tasks = [asyncio.create_task(each) for each in work]

    def end(self) -> None:
        """Say how the service fared, now that it has ended."""
        stop = time.monotonic() - self._stopping_at
        _say("state", json.dumps(self._state() | {"stop": stop}))
        _say("end")

    async def _emit(self) -> None:
        due, count = time.monotonic(), 0
        while not self._service.stopping.begun:
            self._lag = max(self._lag, time.monotonic() - due)
            payload = {"job_id": f"job-{count}", "started_at": time.time()}
            get_emitter().emit("metrics.aggregation_started", payload, stream=self._service.stream)
            count += 1
            self._balance()
            due += 1 / self._rate
            await asyncio.sleep(due - time.monotonic())

    async def _note_the_stop(self) -> None:
        await self._service.stopping.wait()
        self._stopping_at = time.monotonic()

    def _balance(self) -> None:
        now = self._stream.statistics()
        waiting = now.queued + now.spooled
        if now.accepted + now.recovered != now.published + waiting + now.dropped:
            self._imbalances += 1

    async def _say_states(self) -> None:
        while True:
            _say("state", json.dumps(self._state()))
            self._lag = 0.0
            await asyncio.sleep(STATE_EVERY)

    def _state(self) -> dict[str, object]:
        state = self._stream.statistics()._asdict()
        del state["subscribers"]
        robots = len(self._service.gateway.connections)
        return state | {"robots": robots, "imbalances": self._imbalances, "lag": self._lag}

    @property
    def _stream(self) -> EventStream:
        assert self._service.stream is not None
        return self._service.stream


def main(port: str, rate: str, capacity: str = str(CAPACITY)) -> None:
    """Run until SIGTERM."""
    settings = load()
    _write_lines(settings)

    def connect(
        url: str,
        *,
        observer: Observer | None = None,
        spool: Path | None = None,
        partitions: int = 1,
        lease: float = LEASE,
    ) -> EventStream:
        assert partitions == 1
        return RedisStream(
            url,
            observer=observer,
            spool=spool,
            capacity=int(capacity),
            min_idle=MIN_IDLE,
            lease=lease,
        )

    with (
        patch.object(runtime, "Emitter", ReportingEmitter),
        patch.object(backend, "connect", connect),
        listen("127.0.0.1", int(port)) as listening,
    ):
        app = create_app(settings)
        emitting = Emitting(app.plugins.get(CharterPlugin).runtime, float(rate))
        app.on_startup.append(emitting.start)
        raise_open_file_limit()
        Server(configure(app, settings)).run(sockets=[listening])
    emitting.end()


def _write_lines(settings: Settings) -> None:
    """Write the service's lines into a file beside what else it keeps."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    lines = os.open(settings.state_dir / "lines.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(lines, 1)
    os.close(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
