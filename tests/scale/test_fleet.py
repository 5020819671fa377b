"""The arithmetic of `make scale`, and that the README's follows from its own figures."""

import re
from pathlib import Path

from charter_otel.telemetry.fleet import KNOWN_ROBOTS
from scale import fleet
from scale.costs import Costs
from scale.tables import NAMES, fleets_table

README = Path(__file__).with_name("README.md")
NOTHING = Costs(*(0,) * len(Costs._fields))


def test_a_fleet_takes_what_its_frames_and_connections_cost() -> None:
    """Work a second, over the share of a core that is planned for; whole ones."""
    costs = NOTHING._replace(frame=100.0, redis_frame=10.0, gateway_connection=1e6)
    needed = fleet.need(100_000, costs)
    assert needed.instances == 17  # 100,000 x 100 us = 10 s of work a second; / 0.6
    assert needed.redis == 2  # 1 s of work a second; / 0.6
    assert needed.gateways == 47  # 100,000 / 3600 connections a second; / 0.6


def test_an_open_connection_costs_as_long_as_its_metrics_are_exported() -> None:
    """Of each instance's robots only so many have metrics of their own."""
    few = fleet.need(2_000, NOTHING._replace(open=600.0, gateway_open=300.0))
    assert (few.instances, few.gateways) == (2, 1)  # 2,000 x 600 us = 1.2 s of work; / 0.6
    many = fleet.need(100_000, NOTHING._replace(frame=48.0, open=240.0, gateway_open=60.0))
    # 8 cores of frames, and 40 % of each instance's for 1,000 robots: 8 / 0.6 = 13.3.
    assert many.instances == 14
    assert many.gateways == 2  # 14 x 1,000 x 60 us = 0.84 s of work; / 0.6


def test_connections_and_robots_have_limits_too() -> None:
    """An instance takes so many connections, a shard knows so many robots."""
    needed = fleet.need(10 * KNOWN_ROBOTS, NOTHING)
    assert (needed.instances, needed.redis) == (10 * KNOWN_ROBOTS // fleet.CONNECTIONS, 10)
    assert needed.first == "an instance's connections"


def test_the_readmes_fleets_follow_from_its_costs() -> None:
    """Both tables are as the command prints them, the second made from the first."""
    text = README.read_text(encoding="utf-8")
    told = [
        re.search(rf"^\| {re.escape(name)} \| ([0-9.e+]+) ", text, re.MULTILINE)
        for name in NAMES.values()
    ]
    assert None not in told
    costs = Costs(*(float(found[1]) for found in told if found is not None))
    assert "\n".join(fleets_table(costs)) in text
    for number in (fleet.FRAMES, fleet.MINUTES, fleet.LOAD * 100):
        assert re.search(rf"\b{number:g}\b", text)
