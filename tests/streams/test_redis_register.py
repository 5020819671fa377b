"""Events in pairs: the register of what is open moves with the stream, and closing happens once."""

from typing import Any

import pytest

from charter_otel.charter import create
from charter_otel.streams import RedisStream
from charter_otel.telemetry.cluster.register import ConnectionRegister, read_entry
from streams.backends import RedisBackend, published

pytestmark = pytest.mark.timeout(30)


async def test_open_connections_are_in_the_register(redis_backend: RedisBackend) -> None:
    """The opening event enters it with its owner, and the closing one takes it out."""
    stream = await _paired(redis_backend)
    _open(stream, "a")
    _open(stream, "b")
    await published(stream, 2)
    assert set(_register(redis_backend)) == {b"a", b"b"}
    assert _register(redis_backend)[b"a"].startswith(b"me\n")
    assert read_entry(_register(redis_backend)[b"a"]).robot_id == "robot_001"
    _close(stream, "a", "client_disconnect")
    await published(stream, 3)
    assert set(_register(redis_backend)) == {b"b"}
    assert len(redis_backend.entries()) == 3


@pytest.mark.parametrize("second", ["client_disconnect", "server_lost"])
async def test_connections_closed_for_a_dead_owner_are_not_closed_again(
    redis_backend: RedisBackend, second: str
) -> None:
    """Neither by the owner, which only slept, nor by another one that found it dead."""
    stream = await _paired(redis_backend)
    _open(stream, "a")
    _close(stream, "a", "server_lost")
    _close(stream, "a", second)
    await published(stream, 3)
    assert len(redis_backend.entries()) == 2


async def test_closed_connections_are_not_lost_afterwards(redis_backend: RedisBackend) -> None:
    """The owner was in time, so an instance that thought it dead emits nothing."""
    stream = await _paired(redis_backend)
    _open(stream, "a")
    _close(stream, "a", "connection_lost")
    _close(stream, "a", "server_lost")
    await published(stream, 3)
    assert len(redis_backend.entries()) == 2


async def test_without_pairs_every_event_goes_in(redis_backend: RedisBackend) -> None:
    """A stream that somebody else uses keeps no register and refuses nothing."""
    stream = redis_backend.make()
    assert isinstance(stream, RedisStream)
    await stream.start()
    for _ in range(2):
        _close(stream, "a", "server_lost")
    await published(stream, 2)
    assert len(redis_backend.entries()) == 2
    assert _register(redis_backend) == {}


async def test_a_closing_event_needs_no_opening_one(redis_backend: RedisBackend) -> None:
    """Connections that are not in the register may be closed all the same."""
    stream = await _paired(redis_backend)
    _close(stream, "a", "client_disconnect")
    await published(stream, 1)
    assert len(redis_backend.entries()) == 1


async def _paired(backend: RedisBackend) -> RedisStream:
    stream = backend.make()
    assert isinstance(stream, RedisStream)
    stream.use_register(ConnectionRegister(lambda _: ("me", 0.0)))
    await stream.start()
    return stream


def _open(stream: RedisStream, connection_id: str) -> None:
    payload = {"robot_id": "robot_001", "connection_id": connection_id, "connected_at": 1.5}
    stream.publish_nowait(create("telemetry.connection_established", payload))


def _close(stream: RedisStream, connection_id: str, reason: str) -> None:
    payload = {
        "robot_id": "robot_001",
        "connection_id": connection_id,
        "duration_seconds": 1.0,
        "reason": reason,
        "disconnected_at": 2.5,
    }
    stream.publish_nowait(create("telemetry.connection_closed", payload))


def _register(backend: RedisBackend) -> Any:
    with backend.server.client() as client:
        return client.hgetall("{charter}:open")
