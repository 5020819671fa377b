"""Without Redis each instance knows its own robots; afterwards everybody knows everything again."""

import signal
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from charter_otel.charter import create
from charter_otel.consumers import Consumer
from charter_otel.service.runtime import Runtime
from charter_otel.service.settings import Settings
from charter_otel.streams import EventStream
from support.events import PAYLOADS
from support.instances import closed, established, reaped, registered, stored_events, variables
from support.polling import eventually
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess, service

Pair = tuple[ServiceProcess, ServiceProcess]

ESTABLISHED = "telemetry.connection_established"
CLOSED = "telemetry.connection_closed"


class Slow(Consumer):
    """A consumer that takes so long to start that the spool is published meanwhile."""

    name = "slow"

    def attach(self, stream: EventStream) -> None:
        """Take nothing of the stream, but watch it."""
        self._stream = stream

    async def start(self) -> None:
        """Wait until nothing waits on disk."""
        await eventually(lambda: not self._stream.statistics().spooled, "the spool is published")

    async def stop(self) -> None:
        """End nothing."""


async def test_without_redis_each_instance_answers_from_its_own_state(
    server: RedisServer, pair: Pair
) -> None:
    """The routes answer with the robots connected there, and catch up when Redis is back."""
    async with connect(f"{pair[0].websocket}/api/telemetry/ws/robot_001") as robot:
        await robot.send(READING)
        await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "known elsewhere")
        server.kill()
        async with connect(f"{pair[1].websocket}/api/telemetry/ws/robot_002"):
            await eventually(lambda: _known(pair[0]) == {"robot_001": "online"}, "its own")
            await eventually(lambda: _known(pair[1]) == {"robot_002": "online"}, "its own")
            server.start()
            both = {"robot_001": "online", "robot_002": "online"}
            await eventually(lambda: [_known(i) for i in pair] == [both, both], "both know both")
    await eventually(lambda: closed(server).total() == 2, "both are closed")
    assert closed(server) == established(server)


async def test_when_redis_has_lost_everything_it_is_written_again(
    server: RedisServer, pair: Pair
) -> None:
    """Robots stay connected, are known everywhere again, and are closed once when one dies."""
    async with connect(f"{pair[0].websocket}/api/telemetry/ws/robot_001", ping_interval=None):
        await eventually(lambda: established(server).total() == 1, "it is in the stream")
        await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "known elsewhere")
        server.command("FLUSHALL")
        await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "known again")
        assert pair[0].get("/api/telemetry/info")["active_connections"] == 1
        pair[0].process.kill()
        await eventually(lambda: closed(server).total() == 1, "the survivor closes it")


async def test_a_robot_that_left_just_before_redis_lost_writes_is_offline_again(
    server: RedisServer, pair: Pair
) -> None:
    """A fail-over may bring back a presence that was already over."""
    async with connect(f"{pair[0].websocket}/api/telemetry/ws/robot_001"):
        await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "known elsewhere")
        with server.client() as client:
            before: Any = client.hget("{charter}:presence", "robot_001")
    await eventually(lambda: _known(pair[1]) == {"robot_001": "offline"}, "told")
    with server.client() as client:
        client.hset("{charter}:presence", "robot_001", before)
        client.zrem("{charter}:offline", "robot_001")
    await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "what a replica knew")
    server.kill()
    server.start()
    await eventually(lambda: _known(pair[1]) == {"robot_001": "offline"}, "told again")


def _known(instance: ServiceProcess) -> dict[str, str]:
    return {r["robot_id"]: r["status"] for r in instance.get("/api/telemetry/robots")}


def _on_disk(instance: ServiceProcess) -> bool:
    """Return whether each event that Redis has not acknowledged is, those of a job too."""
    stream = instance.get("/readyz")["dependencies"]["event_stream"]
    return bool(stream["spooled"] == stream["accepted"] - stream["published"])


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_connections_closed_in_the_spool_are_not_closed_a_second_time(
    server: RedisServer, tmp_path: Path, end: signal.Signals
) -> None:
    """A close that waited on disk, while Redis and the service were away, stays the only one."""
    settings = variables(server.url) | {"CHARTER_STATE_DIR": str(tmp_path / "state")}
    with service(**settings) as first:
        url = f"{first.websocket}/api/telemetry/ws"
        before = await connect(f"{url}/robot_001")
        await eventually(lambda: established(server).total() == 1, "it is in the stream")
        server.kill()
        within = await connect(f"{url}/robot_002")
        left = await connect(f"{url}/robot_003")
        await before.close()
        await within.close()
        await eventually(lambda: len(first.events(CLOSED)) == 2, "two are closed")
        await eventually(lambda: _on_disk(first), "what waits is on disk")
        first.stop(end)
        left.transport.abort()
    server.start()
    with service(**settings):
        await eventually(lambda: established(server).total() == 3, "the spool is replayed")
        await eventually(lambda: closed(server) == established(server), "each is closed once")
        await reaped(server, looks=12)
    assert closed(server) == established(server)
    reasons = {
        event["payload"]["robot_id"]: event["payload"]["reason"]
        for event in stored_events(server, CLOSED)
    }
    last = "server_shutdown" if end == signal.SIGTERM else "server_lost"
    usual = "client_disconnect"
    assert reasons == {"robot_001": usual, "robot_002": usual, "robot_003": last}


async def test_events_in_the_spool_close_connections_however_slowly_the_service_starts(
    server: RedisServer, tmp_path: Path
) -> None:
    """The register follows the stream from the first event on.

    A connection that stayed in it would be closed again, once its instance's lease is over.
    """
    settings = Settings(event_stream=server.url, state_dir=tmp_path / "state")
    before = Runtime(settings)
    async with before.run():
        assert before.stream is not None
        before.stream.publish_nowait(create(ESTABLISHED, PAYLOADS[ESTABLISHED]))
        await eventually(lambda: established(server).total() == 1, "it is in the stream")
        server.kill()
        before.stream.publish_nowait(create(CLOSED, PAYLOADS[CLOSED]))
    server.start()
    async with Runtime(settings, consumers=[Slow()]).run():
        assert closed(server) == established(server)
        assert registered(server) == 0
