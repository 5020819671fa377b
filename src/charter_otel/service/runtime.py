"""What runs behind the routes: started and stopped in the one order that loses nothing."""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version

import structlog
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from charter_otel.charter import CloseReason
from charter_otel.consumers import Consumer, make
from charter_otel.emit import Emitter, get_emitter, set_emitter
from charter_otel.metrics import Schedule, get_job_board, jobs
from charter_otel.otel import Instrumentation, StreamTelemetry, build, configure_logs
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.otel.sdk.providers import make_resource
from charter_otel.otel.sdk.recent_spans import RecentSpans
from charter_otel.service.backend import parse
from charter_otel.service.gauges import observe_lines, observe_stream
from charter_otel.service.settings import SettingError, Settings
from charter_otel.service.shutdown import ShutdownSignal, on_signals
from charter_otel.service.vitals import Vitals
from charter_otel.streams import EventStream
from charter_otel.telemetry import Fleet, Gateway, HandshakeRate, Limits, Sweeper
from charter_otel.telemetry import gauges as telemetry_gauges
from charter_otel.telemetry import router as telemetry
from charter_otel.telemetry.cluster import LocalPresence
from charter_otel.tokens import SHORT_SECRET, is_short

CLOSE_CONNECTIONS_WITHIN = 3.0
STOP_STREAM_WITHIN = 3.0
SHUT_DOWN_TELEMETRY_WITHIN = 3.0
"""Seconds; together they stay below the ten that a service is usually given to stop."""

log = structlog.get_logger(__name__)


class Runtime:
    """The service behind the routes.

    What the program has set up already is used: a global OpenTelemetry SDK, a structlog
    configuration. What is missing is built.

    Args:
        settings: The settings.
        stream: An event stream of the caller's, instead of the one that the settings name.
        consumers: Consumers beside those that the settings name.

    Raises:
        SettingError: A consumer lacks a setting.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        stream: EventStream | None = None,
        consumers: Sequence[Consumer] = (),
    ) -> None:
        self.settings = settings
        self.consumers = [*consumers, *_consumers(settings)]
        self.gateway = Gateway(
            limits=_limits(settings),
            metrics_published=settings.metrics_published,
            fleet=Fleet(thresholds=settings.thresholds),
            handshakes=HandshakeRate(settings.max_handshakes_per_second),
            allowed_origins=frozenset(settings.allowed_origins),
            secrets=settings.secrets,
        )
        self.instrumentation = Instrumentation()
        self.backend = parse(settings.event_stream, settings.stream_partitions)
        self.stream = stream
        self.stopping = ShutdownSignal()
        self.vitals = Vitals()
        self.running = False
        self.recent_spans = RecentSpans(kept) if (kept := settings.recent_spans) else None
        self._given_stream = stream
        self._writer: LineWriter | None = None

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run everything inside; on the way out, close, drain and flush, each within its time."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            stack.enter_context(self._open())
            if any(map(is_short, self.settings.secrets)):
                log.warning("CHARTER_AUTH_SECRET is short", use_bytes=SHORT_SECRET)
            log.info("service started", event_stream=self.stream.system if self.stream else "none")
            yield

    async def _start(self, stack: AsyncExitStack) -> None:
        try:
            for part in (self._logs, self._telemetry, self._events, self._jobs, self._robots):
                await stack.enter_async_context(part())
        except Exception as error:
            # The server writes a traceback, in which what matters comes last.
            log.error("service cannot start", error=f"{type(error).__name__}: {error}")  # noqa: TRY400
            raise

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Be open for robots and readers, until a signal or the server says that it is over."""
        self.gateway.closing = False
        self.stopping.reset()
        self.running = True
        try:
            with on_signals(self._close):
                yield
        finally:
            self._close()
            log.info("service stopping", connections=len(self.gateway.connections))

    def _close(self) -> None:
        """Take nothing new, and end the responses that would stay open."""
        self.running = False
        self.gateway.closing = True
        self.stopping.begin()

    @asynccontextmanager
    async def _logs(self) -> AsyncIterator[None]:
        uvicorn = logging.getLogger("uvicorn.error")
        uvicorn.addFilter(_is_an_error)
        if not structlog.is_configured():
            self._writer = configure_logs(
                service_name=str(make_resource().attributes["service.name"]),
                log_format=self.settings.log_format,
                level=self.settings.log_level,
            )
        try:
            yield
        finally:
            uvicorn.removeFilter(_is_an_error)
            if self._writer:
                self._writer.flush()

    @asynccontextmanager
    async def _telemetry(self) -> AsyncIterator[None]:
        previous, providers = get_emitter(), None
        recent = [self.recent_spans] if self.recent_spans else []
        # Somebody, a test say, may want to see what is emitted.
        watched = previous.instrumentation.tracer_provider is not None
        if watched:
            self.instrumentation.use(*previous.instrumentation.providers)
        elif not _sdk_is_set_up():
            providers = build(service_version=version("charter-otel"), span_processors=recent)
            self.instrumentation.use(*providers)
        if recent and not providers:
            recent[0].join(self.instrumentation)
        set_emitter(previous if watched else Emitter(self.instrumentation))
        if self._writer:
            observe_lines(self.instrumentation.instruments, self._writer)
        self.vitals.observe(self.instrumentation.instruments)
        self.vitals.start()
        try:
            yield
        finally:
            await self.vitals.stop()
            set_emitter(previous)
            if providers and not await providers.shutdown(SHUT_DOWN_TELEMETRY_WITHIN):
                log.warning("telemetry was not flushed in time; the Collector does not answer")

    @asynccontextmanager
    async def _events(self) -> AsyncIterator[None]:
        observer = StreamTelemetry(self.instrumentation)
        stream = self._given_stream or self.backend.stream(
            observer=observer, spool=self.settings.state_dir / "spool"
        )
        self.stream = stream
        if stream is None:
            yield
            return
        observe_stream(self.instrumentation.instruments, stream, lambda: self.running)
        instances = self.gateway.instances = self._instances()
        # Before the start, which brings what an earlier process left on disk.
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
            yield

    @asynccontextmanager
    async def _jobs(self) -> AsyncIterator[None]:
        store = self.backend.missions()
        lock = self.backend.slot_lock()
        schedule = Schedule(
            jobs.JOB_ID,
            jobs.aggregate_mission_metrics,
            self.settings.aggregation_interval,
            lock=lock,
        )
        get_job_board().observe(self.instrumentation.instruments)
        jobs.set_mission_store(store)
        jobs.set_event_stream(self.stream)
        await schedule.start()
        try:
            yield
        finally:
            await schedule.stop()
            jobs.set_event_stream(None)
            jobs.set_mission_store(None)
            await store.aclose()
            await lock.aclose()

    @asynccontextmanager
    async def _robots(self) -> AsyncIterator[None]:
        telemetry.set_gateway(self.gateway)
        telemetry_gauges.observe(self.instrumentation.instruments, self.gateway)
        telemetry.set_event_stream(self.stream)
        instances = self.gateway.instances
        await instances.start()
        sweeper = Sweeper(self.gateway)
        sweeper.start()
        try:
            yield
        finally:
            await self.gateway.connections.close_all(
                CloseReason.SERVER_SHUTDOWN, deadline=CLOSE_CONNECTIONS_WITHIN
            )
            await sweeper.stop()
            await instances.stop()
            telemetry.set_event_stream(None)

    def _instances(self) -> LocalPresence:
        return self.backend.presence(
            self.gateway.fleet,
            self.gateway.connections,
            telemetry.emit_server_lost,
            lease=self.settings.lease_seconds,
        )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_frame_bytes=settings.max_frame_bytes,
        max_frames_per_second=settings.max_frames_per_second,
        max_readings_per_second=settings.max_readings_per_second,
        max_connections=settings.max_connections,
        heartbeat_timeout=settings.heartbeat_timeout,
    )


def _consumers(settings: Settings) -> list[Consumer]:
    if settings.consumers and settings.event_stream == "none":
        raise SettingError("CHARTER_CONSUMERS needs an event stream; CHARTER_EVENT_STREAM is none")
    try:
        return [
            make(
                name,
                state_dir=settings.state_dir,
                pagerduty_routing_key=settings.pagerduty_routing_key,
                pagerduty_url=settings.pagerduty_url,
                grafana_url=settings.grafana_url,
                thresholds=settings.thresholds,
            )
            for name in settings.consumers
        ]
    except (ValueError, ModuleNotFoundError) as error:
        raise SettingError(f"CHARTER_CONSUMERS: {error}") from error


_NO_ERRORS = frozenset(
    {
        # A handshake that is answered with a status.
        "ASGI callable returned without completing handshake.",
        # A robot's broken frame; it closes the connection as `protocol_error`.
        "Invalid UTF-8 sequence received from client.",
    }
)


def _is_an_error(record: logging.LogRecord) -> bool:
    """Keep out what uvicorn takes for an error of the service."""
    return record.msg not in _NO_ERRORS


def _sdk_is_set_up() -> bool:
    """Return whether the program has an OpenTelemetry SDK of its own, for one signal at least."""
    return (
        isinstance(trace.get_tracer_provider(), TracerProvider)
        or isinstance(metrics.get_meter_provider(), MeterProvider)
        or isinstance(get_logger_provider(), LoggerProvider)
    )
