"""The running service's exports, compared with the registry in both directions."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest
import redis
from litestar import get
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from charter_otel import CharterPlugin, emit
from charter_otel.charter import Event
from charter_otel.metrics.jobs import JOB_ID
from charter_otel.service.settings import Settings
from charter_otel.telemetry import admission
from support.apps import make_app
from support.http import answer
from support.otlp import Received, receiving
from support.polling import eventually
from support.redis import RedisServer
from support.registry.check import Report, check
from support.registry.observed import records_of_otlp, series_of_otlp, spans_of_otlp
from support.robots import READING
from support.servers import serving

INTERVAL = 0.5


class Scenario:
    """Everything that can happen to a service, one after the other."""

    def __init__(
        self, plugin: CharterPlugin, server: RedisServer, address: str, received: Received
    ) -> None:
        self.plugin = plugin
        self.server = server
        self.address = address
        self.received = received
        self.emitted: list[str] = []

    async def play(self) -> None:
        """Go through all of it."""
        self._subscribe()
        await self._robots()
        await self._requests()
        await self._missions()
        await self._redis_dies()
        emit("metrics.aggregation_started", {"job_id": "incomplete"})  # type: ignore[unused-coroutine]

    def _subscribe(self) -> None:
        stream = self.plugin.runtime.stream
        assert stream is not None

        @stream.subscribe("*", group="test.keeps")
        async def keep(event: Event) -> None:
            self.emitted.append(event.type)

        @stream.subscribe_batch("*", group="test.batches")
        async def take(_: Sequence[Event]) -> None: ...

        @stream.subscribe("telemetry.connection_closed", group="test.fails")
        async def fail(_: Event) -> None:
            raise ValueError

        @stream.subscribe_batch("*", group="test.counts")
        async def count(_: Sequence[Event]) -> None:
            pass

    async def _robots(self) -> None:
        url = f"ws://{self.address}/api/telemetry/ws"
        self.plugin.runtime.gateway.checkpoint_interval = 0.1
        async with connect(f"{url}/robot_001?label.site=berlin") as client:
            for frame in (READING, '{"type":"ping"}', "{", "{}"):
                await client.send(frame)
            (connection,) = self.plugin.runtime.gateway.connections
            await eventually(lambda: connection.checkpoint_at > connection.opened, "a checkpoint")
            await self._exported()
            await self._get("/api/telemetry/robots/robot_001/metrics")
            await self._get("/api/telemetry/robots")
        async with connect(f"{url}/robot_004?simulated=1") as simulated:
            await simulated.send(READING)
            await self._exported()
        lost = await connect(f"{url}/robot_002")
        lost.transport.abort()
        with pytest.raises(InvalidStatus):
            await connect(f"{url}/-")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(admission, "admit", None)
            with pytest.raises(InvalidStatus):
                await connect(f"{url}/robot_003")

    async def _requests(self) -> None:
        for path in ("/nowhere", "/api/telemetry/robots/nobody/metrics", "/fails"):
            with pytest.raises(HTTPError):
                await self._get(path)

        await self._get("/api/events?limit=1")
        with pytest.raises(HTTPError):
            await self._get("/api/events", method="PROPFIND")

    async def _missions(self) -> None:
        client = redis.Redis.from_url(self.server.url)
        for data in ('{"mission_id":"m","status":"completed"}', "{", "{}"):
            client.xadd("{charter}:missions", {"data": data})
        client.xadd("{charter}:missions", {"other": ""})
        next_slot = math.floor(time.time() / INTERVAL) + 2
        client.set(f"{{charter}}:jobs:{JOB_ID}:{next_slot}", "taken")
        await eventually(
            lambda: "metrics.aggregation_completed" in self.emitted, "a run, as subscribers see it"
        )
        later = f"{{charter}}:jobs:{JOB_ID}:{next_slot + 1}"
        await eventually(lambda: client.exists(later), "the slot after the one that is taken")
        client.close()

    async def _redis_dies(self) -> None:
        self.server.kill()
        stream = self.plugin.runtime.stream
        assert stream is not None
        await eventually(lambda: not stream.statistics().connected, "the outage is noticed")
        await eventually(lambda: stream.statistics().spooled, "a failed run waits on disk")
        await self._exported()
        self.server.start()
        await eventually(lambda: "metrics.aggregation_failed" in self.emitted, "a failed run", 20)

    async def _exported(self) -> None:
        """Wait until all that is measured now has been exported."""

        def exports() -> int:
            return sum(path == "/v1/metrics" for path, _ in list(self.received.requests))

        # The first one may have been under way.
        enough = exports() + 2
        await eventually(lambda: exports() >= enough, "two exports")

    async def _get(self, path: str, method: str = "GET") -> bytes:
        request = Request(f"http://{self.address}{path}", method=method)

        def fetch() -> bytes:
            with answer(request) as response:
                body: bytes = response.read()
            return body

        return await asyncio.to_thread(fetch)


@get("/fails")
async def fails() -> None:
    """Fail."""
    raise ZeroDivisionError


@pytest.fixture
async def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Report]:
    """Run the scenario on a real server with a real Redis and a real receiver."""
    server = RedisServer(tmp_path)
    server.start()
    with receiving() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "400")
        settings = Settings(
            event_stream=server.url,
            aggregation_interval=INTERVAL,
            state_dir=tmp_path / "state",
            robot_labels=("site",),
        )
        plugin = CharterPlugin(settings)
        app = make_app([fails], plugins=[plugin])
        try:
            async with serving(app) as address:
                await Scenario(plugin, server, address, received).play()
        finally:
            server.stop()
        yield check(
            spans=spans_of_otlp(r for path, r in received.requests if path == "/v1/traces"),
            records=records_of_otlp(r for path, r in received.requests if path == "/v1/logs"),
            series=series_of_otlp(r for path, r in received.requests if path == "/v1/metrics"),
        )


@pytest.mark.swallows
async def test_exported_names_are_the_declared_ones(report: Report) -> None:
    """Nothing undeclared goes out, and nothing is declared that never appears."""
    assert report.findings == []
    assert report.unseen() == []
    assert report.unseen_attributes() == []
