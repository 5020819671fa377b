"""Instances on a Redis of their own."""

from collections.abc import Iterator

import pytest

from support.instances import instances
from support.redis import RedisServer
from support.service import ServiceProcess

Pair = tuple[ServiceProcess, ServiceProcess]


@pytest.fixture
def server(mortal_redis: RedisServer) -> RedisServer:
    """Return a Redis that a test may kill and pause."""
    return mortal_redis


@pytest.fixture
def pair(server: RedisServer) -> Iterator[Pair]:
    """Yield two instances that share it."""
    with instances(2, server.url) as (one, two):
        yield one, two
