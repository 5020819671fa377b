"""Robots with a gateway behind a real server, and everything that it tells captured."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from litestar import Litestar
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from websockets.asyncio.client import ClientConnection, connect

from charter_otel.charter import Event
from charter_otel.emit import Emitter, get_emitter, set_emitter
from charter_otel.otel import build
from charter_otel.telemetry import Gateway, Sweeper, gauges, router
from support.polling import eventually
from support.servers import serving

READING = (
    '{"cpu_usage":45.2,"memory_usage":62.8,"network_latency_ms":12.5,"battery_percentage":78.0}'
)
"""A reading as a robot sends it."""


class Recorder:
    """The specification's stream: anything with ``publish``."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    def of(self, event_type: str) -> list[Event]:
        """Return the events of a type."""
        return [event for event in self.events if event.type == event_type]


@dataclass
class Robots:
    """A running gateway and the robots' side of it."""

    gateway: Gateway = field(default_factory=Gateway)
    stream: Recorder = field(default_factory=Recorder)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    address: str = ""
    clients: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def connect(self, robot_id: str = "robot_001", **options: Any) -> ClientConnection:
        """Connect a robot."""
        query = options.pop("query", "")
        url = f"ws://{self.address}/api/telemetry/ws/{robot_id}{query}"
        client = await connect(url, ping_interval=None, compression=None, **options)
        self.clients.push_async_callback(client.close)
        return client

    @property
    def established(self) -> list[Event]:
        """The connections that were established."""
        return self.stream.of("telemetry.connection_established")

    @property
    def closed(self) -> list[Event]:
        """The connections that were closed."""
        return self.stream.of("telemetry.connection_closed")

    async def closings(self, count: int = 1) -> list[Event]:
        """Wait for that many closed connections and give them."""
        await eventually(lambda: len(self.closed) >= count, f"{count} connections closed")
        assert len(self.closed) == count
        return self.closed

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the ended spans of a name."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def metric(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """Return a metric's data points by their attributes."""
        data = self.reader.get_metrics_data()
        return {
            frozenset((point.attributes or {}).items()): point
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        }


@asynccontextmanager
async def connected_robots(ws: str) -> AsyncIterator[Robots]:
    """Yield a gateway behind a real server with one of uvicorn's WebSocket implementations."""
    robots = Robots()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_in_place(robots))
        robots.address = await stack.enter_async_context(
            serving(_app(), ws=ws, max_size=robots.gateway.limits.max_frame_bytes)
        )
        await stack.enter_async_context(robots.clients)
        yield robots


@asynccontextmanager
async def _in_place(robots: Robots) -> AsyncIterator[None]:
    """Put the robots' gateway in the module's place, and take it away again."""
    providers = build(
        span_processors=[SimpleSpanProcessor(robots.exporter)], metric_readers=[robots.reader]
    )
    previous, instrumentation = get_emitter(), providers.instrumentation()
    sweeper = Sweeper(robots.gateway, instrumentation)
    set_emitter(Emitter(instrumentation))
    gauges.observe(get_emitter().instrumentation.instruments, robots.gateway)
    router.set_gateway(robots.gateway)
    router.set_event_stream(robots.stream)
    sweeper.start()
    try:
        yield
    finally:
        await sweeper.stop()
        router.set_event_stream(None)
        router.set_gateway(Gateway())
        set_emitter(previous)
        await providers.shutdown()


def _app() -> Litestar:
    return Litestar(route_handlers=[router.telemetry_router()], openapi_config=None)
