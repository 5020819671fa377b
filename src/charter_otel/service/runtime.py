"""The parts behind the routes, started and stopped in the one order that loses nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Any

import structlog

from charter_otel.consumers import Consumer
from charter_otel.emit import Emitter, Sink, get_emitter, set_emitter
from charter_otel.metrics import Job, JobBoard, Schedule, jobs, set_job_board
from charter_otel.otel import Instrumentation, StreamTelemetry, build, configure_logs
from charter_otel.otel.lines.configure import configured_writer
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.otel.sdk.providers import name_of_service
from charter_otel.otel.sdk.recent_spans import RecentSpans
from charter_otel.seams import Hold, Scope, claim
from charter_otel.service.backend import parse
from charter_otel.service.factory import (
    has_own_logging,
    is_an_error,
    log_weaknesses,
    make_consumers,
    make_gateway,
    sdk_is_set_up,
    with_unique_names,
)
from charter_otel.service.gauges import observe_lines, observe_stream
from charter_otel.service.process_metrics import ProcessMetrics
from charter_otel.service.settings import Settings
from charter_otel.service.shutdown import ShutdownSignal, on_signals
from charter_otel.streams import EventStream
from charter_otel.telemetry import Sweeper
from charter_otel.telemetry import gauges as telemetry_gauges
from charter_otel.telemetry import router as telemetry
from charter_otel.telemetry.cluster import LocalPresence
from charter_otel.telemetry.draining import release

CLOSE_CONNECTIONS_WITHIN = 3.0
STOP_STREAM_WITHIN = 3.0
SHUT_DOWN_TELEMETRY_WITHIN = 3.0
"""Seconds; together they stay below the ten that a service is usually given to stop."""

log = structlog.get_logger(__name__)


class Runtime:
    """The service behind the routes.

    It uses a global OpenTelemetry SDK and a structlog configuration that the program has set up,
    and builds those that are missing. The arguments are those of `CharterPlugin`.

    Raises:
        SettingError: A consumer lacks a setting.
        ValueError: Two jobs have one name, or ``sinks`` come with an emitter.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        stream: EventStream | None = None,
        consumers: Sequence[Consumer] = (),
        jobs: Sequence[Job] = (),
        mission_job: bool = True,
        sinks: Mapping[str, Sink] | None = None,
        emitter: Emitter | None = None,
    ) -> None:
        if emitter and sinks:
            raise ValueError("an emitter of your own brings its own sinks; leave out sinks=")
        self.settings = settings
        self.gateway = make_gateway(settings)
        self.instrumentation = Instrumentation()
        self.consumers = [*consumers, *make_consumers(settings, self.instrumentation)]
        self.board = JobBoard()
        self.emitter = emitter or Emitter(self.instrumentation, sinks=sinks)
        self.backend = parse(settings.event_stream, settings.stream_partitions)
        self.stream = stream
        self.stopping = ShutdownSignal()
        self.process_metrics = ProcessMetrics()
        self.running = False
        self.logging_config: object = None  # of the app
        self.recent_spans = RecentSpans(kept) if (kept := settings.recent_spans) else None
        self._claimed: Hold | None = None
        self._given_stream = stream
        self._given_emitter = emitter
        self._sinks = sinks
        self._own_jobs = with_unique_names(jobs)
        self._mission_job = mission_job
        self._writer: LineWriter | None = None

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run everything inside; on the way out, close, drain and flush, each within its time."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._claim())
            await self._start(stack)
            stack.enter_context(self._open())
            log_weaknesses(self.settings, self.gateway.limits)
            log.info("service started", event_stream=self.stream.system if self.stream else "none")
            yield

    async def _start(self, stack: AsyncExitStack) -> None:
        parts = (
            self._logs(),
            self._telemetry(),
            self._events(),
            self._jobs(),
            self._robots(),
        )
        try:
            for part in parts:
                await stack.enter_async_context(part)
        except Exception as error:
            # The server writes a traceback, in which the cause comes last.
            log.error("service cannot start", error=f"{type(error).__name__}: {error}")  # noqa: TRY400
            raise

    @property
    def scope(self) -> Scope | None:
        """The app's own scope, if another app of the process came first; see `seams`."""
        return self._claimed.scope if self._claimed else None

    @contextmanager
    def _claim(self) -> Iterator[None]:
        """Claim the module-level functions for this app, or give it a scope of its own."""
        claimed = self._claimed = claim()
        try:
            yield
        finally:
            self._claimed = None
            claimed.release()

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Admit robots and readers until a signal or the server ends it."""
        self.gateway.closing = False
        self.stopping.reset()
        self.running = True
        try:
            with on_signals(self._close, self._release):
                yield
        finally:
            self._close()
            log.info("service stopping", connections=len(self.gateway.connections))

    def _close(self) -> None:
        """Refuse new requests, and end the responses that would stay open."""
        self.running = False
        self.gateway.closing = True
        self.stopping.begin()

    async def _release(self) -> None:
        """Release the robots before the server closes the rest."""
        await release(self.gateway, self.settings.drain_seconds, deadline=CLOSE_CONNECTIONS_WITHIN)

    @asynccontextmanager
    async def _logs(self) -> AsyncIterator[None]:
        uvicorn = logging.getLogger("uvicorn.error")
        uvicorn.addFilter(is_an_error)
        if not structlog.is_configured():
            self._writer = configure_logs(
                service_name=name_of_service(),
                log_format=self.settings.log_format,
                level=self.settings.log_level,
                standard_library=not has_own_logging(self.logging_config),
            )
        else:
            self._writer = configured_writer()
        try:
            yield
        finally:
            uvicorn.removeFilter(is_an_error)
            if self._writer:
                self._writer.flush()

    @asynccontextmanager
    async def _telemetry(self) -> AsyncIterator[None]:
        previous, providers = get_emitter(), None
        recent = [self.recent_spans] if self.recent_spans else []
        if self._given_emitter:
            self.instrumentation.use(*self._given_emitter.instrumentation.providers)
        elif not sdk_is_set_up():
            providers = build(service_version=version("charter-otel"), span_processors=recent)
            self.instrumentation.use(*providers)
        if recent and not providers:
            recent[0].join(self.instrumentation)
        self.emitter = self._given_emitter or Emitter(self.instrumentation, sinks=self._sinks)
        set_emitter(self.emitter)
        if self._writer:
            observe_lines(self.instrumentation.instruments, self._writer)
        self.process_metrics.observe(self.instrumentation.instruments)
        self.process_metrics.start()
        try:
            yield
        finally:
            await self.process_metrics.stop()
            set_emitter(previous)
            if providers and not await providers.shutdown(SHUT_DOWN_TELEMETRY_WITHIN):
                log.warning("telemetry was not flushed in time; the Collector does not answer")

    @asynccontextmanager
    async def _events(self) -> AsyncIterator[None]:
        observer = StreamTelemetry(self.instrumentation)
        stream = self._given_stream or self.backend.stream(
            observer=observer,
            spool=self.settings.state_dir / "spool",
            lease=self.settings.lease_seconds,
        )
        self.stream = stream
        if stream is None:
            yield
            return
        observe_stream(self.instrumentation.instruments, stream, lambda: self.running)
        instances = self.gateway.instances = self._instances()
        # Before the start, which publishes the events that an earlier process left on disk.
        stream.use_register(instances.register)
        async with AsyncExitStack() as stop:
            for consumer in self.consumers:
                consumer.attach(stream)
                stop.push_async_callback(consumer.stop)
            # Stopped first: it lets the consumers' running handlers end.
            stop.push_async_callback(stream.stop, STOP_STREAM_WITHIN)
            await stream.start()
            for consumer in self.consumers:
                await consumer.start()
            before, self.emitter.stream = self.emitter.stream, stream
            try:
                yield
            finally:
                self.emitter.stream = before

    @asynccontextmanager
    async def _jobs(self) -> AsyncIterator[None]:
        store = self.backend.missions()
        lock = self.backend.slot_lock()
        instruments = self.instrumentation.instruments
        self.board.observe(instruments)
        set_job_board(self.board)
        jobs.set_mission_store(store)
        jobs.set_event_stream(self.stream)
        schedules = [
            Schedule(name, run, every, lock=lock, board=self.board, instruments=instruments)
            for name, run, every in self._scheduled()
        ]
        try:
            for schedule in schedules:
                await schedule.start()
            yield
        finally:
            await asyncio.gather(*(schedule.stop() for schedule in schedules))
            jobs.set_event_stream(None)
            jobs.set_mission_store(None)
            await store.aclose()
            await lock.aclose()

    def _scheduled(self) -> Iterator[tuple[str, Callable[[], Coroutine[Any, Any, int]], float]]:
        """Yield name, function and interval of each job."""
        if self._mission_job:
            every = self.settings.aggregation_interval
            yield jobs.JOB_ID, jobs.aggregate_mission_metrics, every
        for job in self._own_jobs:
            yield job.name, job, job.every

    @asynccontextmanager
    async def _robots(self) -> AsyncIterator[None]:
        telemetry.set_gateway(self.gateway)
        telemetry_gauges.observe(self.instrumentation.instruments, self.gateway)
        telemetry.set_event_stream(self.stream)
        instances = self.gateway.instances
        await instances.start()
        sweeper = Sweeper(self.gateway, self.instrumentation)
        sweeper.start()
        async with AsyncExitStack() as stop:
            # In reverse order; an exception of one does not stop the others.
            stop.callback(telemetry.set_event_stream, None)
            stop.push_async_callback(instances.stop)
            stop.push_async_callback(sweeper.stop)
            stop.push_async_callback(release, self.gateway, 0, deadline=CLOSE_CONNECTIONS_WITHIN)
            yield

    def _instances(self) -> LocalPresence:
        return self.backend.presence(
            self.gateway.fleet,
            self.gateway.connections,
            telemetry.emit_server_lost,
            lease=self.settings.lease_seconds,
        )
