"""Instances on a Redis of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.instances import instances
from support.redis import RedisServer
from support.service import ServiceProcess

Pair = tuple[ServiceProcess, ServiceProcess]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Yield a Redis that a test may kill and pause."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def pair(server: RedisServer) -> Iterator[Pair]:
    """Yield two instances that share it."""
    with instances(2, server.url) as (one, two):
        yield one, two
