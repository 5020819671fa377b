"""Instances on a Redis of their own."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from charter_otel.telemetry.cluster import membership, reaper
from support.fake_time import StoppedClock
from support.instances import instances
from support.redis import RedisServer
from support.service import ServiceProcess

Pair = tuple[ServiceProcess, ServiceProcess]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    """Return the monotonic clock of memberships and reapers, from now on."""
    clock = StoppedClock()
    clocks = SimpleNamespace(**vars(time) | {"monotonic": clock.monotonic})
    for module in (membership, reaper):
        monkeypatch.setattr(module, "time", clocks)
    return clock


@pytest.fixture
def server(mortal_redis: RedisServer) -> RedisServer:
    """Return a Redis that a test may kill and pause."""
    return mortal_redis


@pytest.fixture
def pair(server: RedisServer) -> Iterator[Pair]:
    """Yield two instances that share it."""
    with instances(2, server.url) as (one, two):
        yield one, two
