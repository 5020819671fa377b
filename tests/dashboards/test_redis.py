"""The row about Redis, from a real exporter of a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rules.servers import NOWHERE, prometheus, query
from support.dashboards import filled, panel_of
from support.http import LOCAL
from support.polling import wait_until
from support.redis import RedisServer
from support.redis_exporter import exporting

RIGHT = "OpenSesame4711"
Shown = Callable[[str], list[float]]
"""A function that gives the values of a panel as of now, one for each line."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a server that keeps to a little memory by forgetting, as one with streams must not."""
    forgetful = ("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru")
    server = RedisServer(tmp_path, password=RIGHT, options=forgetful)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def shown(redis: RedisServer, tmp_path: Path) -> Iterator[Shown]:
    """Return what gives the values of a panel."""
    with (
        exporting(redis, tmp_path, RIGHT) as exporter,
        prometheus(tmp_path, "groups: []", {"redis": exporter}, NOWHERE) as address,
    ):
        yield lambda title: [
            float(one["value"][1])
            for target in panel_of("pipeline.json", title)["targets"]
            for one in query(address, filled(target["expr"]))
        ]


def test_a_redis_that_forgets_is_red(redis: RedisServer, shown: Shown) -> None:
    """Evicted keys are above the limit of the panel, which is just above none."""
    wait_until(lambda: shown("Evicted and rejected") == [0, 0], "nothing is lost", 30)
    assert shown("Redis memory")[-1] == 4 * 1024**2
    assert shown("Persistence") == [1, 1, 1]
    with redis.client() as client:
        for number in range(100):
            client.set(f"key{number}", b"x" * 100_000)
    wait_until(lambda: shown("Evicted and rejected")[0] > 0.001, "evicted keys are shown", 30)
    limits = panel_of("pipeline.json", "Evicted and rejected")["fieldConfig"]["defaults"]
    assert limits["thresholds"]["steps"][-1] == {"value": 0.001, "color": "red"}


def test_an_outage_is_not_a_gap(redis: RedisServer, shown: Shown) -> None:
    """While Redis is away its uptime is 0, and everything else is unknown rather than good."""
    wait_until(lambda: shown("Redis uptime") > [0], "Redis is seen", 30)
    redis.kill()
    wait_until(lambda: shown("Redis uptime") == [0], "the outage is seen", 30)
    assert shown("Persistence") == shown("Redis memory") == shown("Replicas") == []


def test_a_wrong_password_is_an_outage_and_no_leak(redis: RedisServer, tmp_path: Path) -> None:
    """Redis counts as away; neither that password nor the right one is in what is told of it."""
    wrong = "OpenBarley0815"
    with exporting(redis, tmp_path, wrong) as address:
        told = LOCAL.get(f"http://{address}/metrics").text
    assert "redis_up 0" in told.splitlines()
    told += (tmp_path / "exporter.log").read_text()
    assert not [word for word in (wrong, RIGHT) if word in told]
