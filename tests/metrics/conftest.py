"""Mission stores to test, in memory and in a real Redis, and a process without earlier runs."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest

from charter_otel.metrics import board, jobs
from charter_otel.metrics.locks import SlotLock
from charter_otel.metrics.missions import MissionStore
from charter_otel.service.backend import parse
from charter_otel.testing import RecordingStream
from support.missions import OpenLock, OpenStore
from support.redis import RedisServer

ClosableT = TypeVar("ClosableT", MissionStore, SlotLock)


@pytest.fixture
async def closed_at_end() -> AsyncIterator[Callable[[ClosableT], ClosableT]]:
    """Yield a function that has what it is given closed when the test ends, however it ends."""
    async with AsyncExitStack() as stack:

        def close(opened: ClosableT) -> ClosableT:
            stack.push_async_callback(opened.aclose)
            return opened

        yield close


@pytest.fixture
async def open_store(closed_at_end: Callable[[MissionStore], MissionStore]) -> OpenStore:
    """Return the mission store of a back end, with the store closed when the test ends."""
    return lambda url, **options: closed_at_end(parse(url, **options).missions())


@pytest.fixture
async def open_lock(closed_at_end: Callable[[SlotLock], SlotLock]) -> OpenLock:
    """Return the slot lock of a back end, with the lock closed when the test ends."""
    return lambda url, **options: closed_at_end(parse(url, **options).slot_lock())


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, open_store: OpenStore) -> MissionStore:
    """Return each kind of store in turn."""
    if request.param == "memory":
        return open_store("memory://")
    server: RedisServer = request.getfixturevalue("redis_server")
    return open_store(server.url)


@pytest.fixture
async def redis_store(redis_server: RedisServer, open_store: OpenStore) -> MissionStore:
    """Return a store in Redis."""
    return open_store(redis_server.url)


@pytest.fixture(autouse=True)
def job_board() -> Iterator[board.JobBoard]:
    """Yield the process a new board and a new store, for each test."""
    fresh = board.JobBoard()
    board.set_job_board(fresh)
    jobs.set_mission_store(None)
    yield fresh
    jobs.set_mission_store(None)
    board.set_job_board(board.JobBoard())


@pytest.fixture
def stream() -> RecordingStream:
    """Return the stream that the job's events go to."""
    stream = RecordingStream()
    jobs.set_event_stream(stream)
    return stream
