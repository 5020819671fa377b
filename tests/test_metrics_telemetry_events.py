"""The specification's nine tests, on the real functions with a `MockEventStream`."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from litestar import WebSocket

from charter_otel.charter import Event
from charter_otel.metrics import jobs
from charter_otel.metrics.missions import MemoryMissions
from charter_otel.metrics.missions.base import Batch
from charter_otel.telemetry import Gateway, router

READING = (
    '{"cpu_usage": 45.2, "memory_usage": 62.8, "network_latency_ms": 12.5,'
    ' "battery_percentage": 78.0}'
)


class MockEventStream:
    """The specification's stand-in for an event stream: it keeps what is published."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event.type for event in self.events]

    def one(self, event_type: str) -> Event:
        """Return the one event of a type."""
        [event] = [event for event in self.events if event.type == event_type]
        return event


class RobotSocket:
    """A robot's side of a WebSocket, without a server in between.

    Args:
        robot_id: The robot that connects.
    """

    def __init__(self, robot_id: str) -> None:
        self.robot_id = robot_id
        self.sent: list[dict[str, Any]] = []
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.send({"type": "websocket.connect"})
        scope: Any = {
            "type": "websocket",
            "path": f"/api/telemetry/ws/{robot_id}",
            "query_string": b"",
            "headers": [],
            "scheme": "ws",
            "subprotocols": [],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
            "state": {},
        }
        receive: Any = self._incoming.get
        self.socket: WebSocket[Any, Any, Any] = WebSocket(scope, receive, self._take)

    async def _take(self, message: Any) -> None:
        self.sent.append(message)

    def send(self, message: dict[str, Any]) -> None:
        """Send what a server would hand on."""
        self._incoming.put_nowait(message)

    def disconnect(self) -> None:
        """Close as a client does."""
        self.send({"type": "websocket.disconnect", "code": 1000, "reason": ""})

    def read(self, reading: str = READING) -> None:
        """Send a reading."""
        self.send({"type": "websocket.receive", "text": reading, "bytes": None})


class RedisConnectionError(ConnectionError):
    """The error of the specification's example."""


class BrokenMissions(MemoryMissions):
    """A store whose server is gone."""

    async def read(self, _: int) -> Batch:
        """Fail as a lost server does."""
        raise RedisConnectionError("Connection to Redis lost")


@pytest.fixture
def stream() -> MockEventStream:
    """Return a stream that both modules publish to."""
    stream = MockEventStream()
    jobs.set_event_stream(stream)
    router.set_event_stream(stream)
    return stream


@pytest.fixture(autouse=True)
def fresh_modules() -> None:
    """Reset both modules to a state of their own."""
    jobs.set_mission_store(None)
    router.set_gateway(Gateway())


async def robot_session(robot_id: str = "robot_001") -> None:
    """Let a robot connect, send a reading and disconnect."""
    robot = RobotSocket(robot_id)
    robot.read()
    robot.disconnect()
    await router.telemetry_websocket(robot.socket, robot_id)


@asynccontextmanager
async def connected(robot_id: str, stream: MockEventStream) -> AsyncIterator[RobotSocket]:
    """Hold a robot's connection while the block lasts."""
    robot = RobotSocket(robot_id)
    before = len(stream.events)
    task = asyncio.create_task(router.telemetry_websocket(robot.socket, robot_id))
    async with asyncio.timeout(5):
        while len(stream.events) == before:  # noqa: ASYNC110 - the mock has no event to wait for
            await asyncio.sleep(0)
        yield robot
        robot.disconnect()
        await task


def assert_is_charter(event: Event, module: str) -> None:
    """Hold an event against the Charter v1.0 envelope."""
    assert isinstance(event, Event)
    assert re.fullmatch(rf"evt_{module}_[0-9]{{13}}_[0-9a-z]{{6,}}", event.id)
    assert event.type.startswith(f"{module}.")
    assert event.source == f"{module}_service"
    assert event.target is None
    assert isinstance(event.timestamp, float)
    assert isinstance(event.payload, dict)
    assert event.meta.keys() == {"correlation_id", "version"}
    assert event.meta["version"] == "1.0"


async def test_metrics_aggregation_started(stream: MockEventStream) -> None:
    """A run begins with `metrics.aggregation_started`, which names the job and its start."""
    await jobs.aggregate_mission_metrics()
    event = stream.one("metrics.aggregation_started")
    assert stream.events[0] is event
    assert event.payload["job_id"] == "aggregate_mission_metrics"
    assert event.payload["started_at"] == pytest.approx(event.timestamp, abs=1)


async def test_metrics_aggregation_completed(stream: MockEventStream) -> None:
    """A run that ends well says how many entries it processed and how long it took."""
    await jobs.aggregate_mission_metrics()
    event = stream.one("metrics.aggregation_completed")
    assert stream.types == ["metrics.aggregation_started", "metrics.aggregation_completed"]
    assert event.payload["job_id"] == "aggregate_mission_metrics"
    assert event.payload["entries_processed"] == 0
    assert event.payload["duration_ms"] >= 0
    assert event.payload["completed_at"] == pytest.approx(event.timestamp, abs=1)


async def test_metrics_aggregation_failed(stream: MockEventStream) -> None:
    """A run that fails says with which error, and lets the error pass."""
    jobs.set_mission_store(BrokenMissions())
    with pytest.raises(RedisConnectionError):
        await jobs.aggregate_mission_metrics()
    event = stream.one("metrics.aggregation_failed")
    assert stream.types == ["metrics.aggregation_started", "metrics.aggregation_failed"]
    assert event.payload["job_id"] == "aggregate_mission_metrics"
    assert event.payload["error_message"] == "Connection to Redis lost"
    assert event.payload["error_type"] == "RedisConnectionError"
    assert event.payload["failed_at"] == pytest.approx(event.timestamp, abs=1)


async def test_metrics_charter_compliance(stream: MockEventStream) -> None:
    """The events of the metrics module are Charter v1.0, one trace for each run."""
    await jobs.aggregate_mission_metrics()
    jobs.set_mission_store(BrokenMissions())
    with pytest.raises(RedisConnectionError):
        await jobs.aggregate_mission_metrics()
    assert len(stream.events) == 4
    for event in stream.events:
        assert_is_charter(event, "metrics")
    assert len({event.id for event in stream.events}) == 4


async def test_telemetry_connection_established(stream: MockEventStream) -> None:
    """A robot that connects gives `telemetry.connection_established`."""
    await robot_session()
    event = stream.one("telemetry.connection_established")
    assert event.payload["robot_id"] == "robot_001"
    assert re.match(r"ws_robot_001_\d{10}", event.payload["connection_id"])
    assert event.payload["connected_at"] == pytest.approx(event.timestamp, abs=1)


async def test_telemetry_connection_closed(stream: MockEventStream) -> None:
    """The same connection's end gives `telemetry.connection_closed`, with duration and reason."""
    await robot_session()
    established = stream.one("telemetry.connection_established")
    event = stream.one("telemetry.connection_closed")
    assert event.payload["robot_id"] == "robot_001"
    assert event.payload["connection_id"] == established.payload["connection_id"]
    assert 0 <= event.payload["duration_seconds"] < 5
    assert event.payload["reason"] == "client_disconnect"
    assert event.payload["disconnected_at"] >= established.payload["connected_at"]


async def test_telemetry_metrics_published(stream: MockEventStream) -> None:
    """Reading a robot's metrics gives `telemetry.metrics_published` with the same readings."""
    await robot_session()
    answer = await router.get_robot_metrics("robot_001")
    event = stream.one("telemetry.metrics_published")
    assert event.payload["robot_id"] == "robot_001"
    assert event.payload["metrics"] == {
        "cpu_usage": 45.2,
        "memory_usage": 62.8,
        "network_latency_ms": 12.5,
        "battery_percentage": 78.0,
    }
    assert event.payload["metrics"].items() <= answer.items()
    assert event.payload["published_at"] == pytest.approx(event.timestamp, abs=1)


async def test_telemetry_multiple_connections(stream: MockEventStream) -> None:
    """Robots that are connected at once each have their own pair of events."""
    robots = ["robot_001", "robot_002", "robot_003"]
    async with (
        connected(robots[0], stream),
        connected(robots[1], stream),
        connected(robots[2], stream),
    ):
        assert stream.types == ["telemetry.connection_established"] * 3
    assert stream.types[3:] == ["telemetry.connection_closed"] * 3
    pairs: dict[str, list[str]] = {}
    for event in stream.events:
        pairs.setdefault(event.payload["connection_id"], []).append(event.payload["robot_id"])
    assert sorted(pairs.values()) == [[robot, robot] for robot in robots]


async def test_telemetry_charter_compliance(stream: MockEventStream) -> None:
    """The events of the telemetry module are Charter v1.0."""
    await robot_session()
    await router.get_robot_metrics("robot_001")
    assert sorted(stream.types) == [
        "telemetry.connection_closed",
        "telemetry.connection_established",
        "telemetry.metrics_published",
    ]
    for event in stream.events:
        assert_is_charter(event, "telemetry")
    assert len({event.id for event in stream.events}) == 3
