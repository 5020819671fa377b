"""An instance with 20,000 robots, all the way to the pager: each of them counts.

The robots are those of a real gateway, without their sockets; what it exports, the Collector,
Prometheus, Alertmanager and the rules are real.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from charter_otel.charter import CloseReason
from charter_otel.otel import build as build_providers
from charter_otel.telemetry import gauges
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.frames import Frame
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.readings import take_reading
from dashboards.rules import build
from dashboards.rules.thresholds import Thresholds
from rules.servers import query
from rules.stack import Stack, servers
from support.polling import wait_until

ROBOTS = 20_000
LOW = "robot_19999"
QUICK = Thresholds(interval="2s", battery_for="0s", omitted_for="0s")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Run all but the service."""
    with servers(tmp_path, build.prometheus(QUICK), every=2, scrape="2s") as running:
        yield running


@pytest.fixture
def gateway(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Connect the robots, all of them well, and export their metrics."""
    for name, value in stack.variables.items():
        monkeypatch.setenv(name, value)
    made = Gateway()
    for number in range(ROBOTS):
        _reads(made, f"robot_{number:05}", 80.0)
    providers = build_providers()
    gauges.observe(providers.instrumentation().instruments, made)
    yield made
    asyncio.run(providers.shutdown(5))


@pytest.mark.timeout(180)
def test_each_of_twenty_thousand_robots_counts(stack: Stack, gateway: Gateway) -> None:
    """The one at 12 % is paged by its name, and so is that more are offline than have series."""
    stats = stack.shows
    wait_until(lambda: stats("fleet.json", "Low batteries"), "the robots are counted", within=60)
    series = query(stack.prometheus, 'count({__name__=~"charter_robot_.+", charter_robot_id!=""})')
    assert float(series[0]["value"][1]) == 5_000
    assert not query(stack.prometheus, f'{{charter_robot_id="{LOW}"}}')
    _reads(gateway, LOW, 12.0)
    wait_until(lambda: stack.pagerduty.of("trigger"), "the page", within=60)
    (page,) = stack.pagerduty.of("trigger")
    assert page["payload"]["component"] == f"robot {LOW}"
    assert page["payload"]["summary"] == f"Battery of robot `{LOW}` is low"
    assert f"`{LOW}` has 12% left" in page["payload"]["custom_details"]["firing"]
    for number in range(1_001):
        robot = gateway.fleet.get(f"robot_{number:05}")
        assert robot is not None
        assert robot.connection is not None
        gateway.fleet.disconnected(robot.connection, CloseReason.CLIENT_DISCONNECT, 1.0)
    omitted = ("trigger",), {"component": "RobotsOmitted"}
    wait_until(lambda: stack.pagerduty.of(*omitted[0], **omitted[1]), "the next page", within=60)
    assert len(stack.pagerduty.of("trigger")) == 2


def _reads(gateway: Gateway, robot_id: str, battery: float) -> None:
    """Take a reading of a robot that is connected then."""
    robot = gateway.fleet.get(robot_id)
    if robot is None or robot.connection is None:
        robot = gateway.fleet.connected(Connection(robot_id))
    assert robot.connection is not None
    frame = Frame(cpu_usage=30, memory_usage=50, network_latency_ms=5, battery_percentage=battery)
    take_reading(robot, frame, robot.connection)
