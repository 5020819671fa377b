"""Streams to test: the one within the process, and one in a real Redis."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from streams.backends import Backend, MemoryBackend, PartitionedBackend, RedisBackend
from support.redis import RedisServer


@pytest.fixture
def server_directory() -> Iterator[Path]:
    """Yield a directory whose path is short enough for a unix socket."""
    with TemporaryDirectory(prefix="charter") as directory:
        yield Path(directory)


@pytest.fixture
def server(server_directory: Path) -> Iterator[RedisServer]:
    """Yield a Redis of the test's own."""
    server = RedisServer(server_directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis_backend(server: RedisServer) -> AsyncIterator[RedisBackend]:
    """Yield streams in Redis."""
    backend = RedisBackend(server)
    yield backend
    await backend.close()


@pytest.fixture(params=["memory", "redis", "partitioned"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """Yield streams of each kind in turn."""
    made: Backend
    if request.param == "memory":
        made = MemoryBackend()
    else:
        server = request.getfixturevalue("server")
        made = RedisBackend(server) if request.param == "redis" else PartitionedBackend(server)
    yield made
    await made.close()
