"""Both instances are killed: who is told, when, of what, and what the dashboards show."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dashboards.limits import FRESH
from dashboards.rules import build
from dashboards.rules.alert import Links
from rules.servers import query
from rules.stack import Stack, servers
from support import polling
from support.dashboards import dashboards, panels
from support.http import LOCAL
from support.service import ServiceProcess, service

ROBOTS = 12
SCRAPE = "5s"
ALERT_WITHIN = 60.0
"""Seconds from a SIGKILL to the alert,"""
SHOWN_WITHIN = 30.0
"""and to the stats that must not show what is no longer so."""
READING = '{"cpu_usage": 20, "memory_usage": 40, "network_latency_ms": 9, "battery_percentage": 70}'
OF_NOW = {
    ("fleet.json", "Connections"),
    ("fleet.json", "Robots lost"),
    ("fleet.json", "Low batteries"),
    ("fleet.json", "Last good run"),
    ("fleet.json", "Slowest runs"),
    ("fleet.json", "Events"),
    ("fleet.json", "Readings"),
    ("fleet.json", "Emptiest batteries"),
    ("fleet.json", "Busiest processors"),
    ("pipeline.json", "Event stream"),
    ("pipeline.json", "Publishing queue"),
}
"""Stats, tables and rankings that have no data where nobody lives."""
TELL = {
    ("fleet.json", "Offline now"),
    ("pipeline.json", "Age of data"),
    ("pipeline.json", "Instances"),
}
"""Those that say that nobody does."""
OF_A_RANGE = {
    ("fleet.json", "Lost connections"): "records that Loki has, whoever lives",
    ("pipeline.json", "Events dropped"): "a sum of the time range, which an end does not undo",
    ("pipeline.json", "Lines dropped"): "the same",
    ("pipeline.json", "Dead letters"): "the same",
}
"""Those that do not speak of now, and why."""

# Leaves the servers time to work.
wait_until = partial(polling.wait_until, every=0.5)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Run all but the service, with the rules as they are shipped."""
    with servers(tmp_path, build.prometheus(), every=2, scrape=SCRAPE) as running:
        yield running


@pytest.mark.timeout(420)
def test_two_killed_instances_are_one_incident(stack: Stack) -> None:
    """`ServiceDown` within a minute, grey panels within 30 s, nothing of its robots, ever."""
    with ExitStack() as running:
        both = [running.enter_context(service(**stack.variables)) for _ in range(2)]
        for n in range(ROBOTS):
            running.enter_context(_robot(both[n % 2], n))
        wait_until(lambda: _connections(stack) == ROBOTS, "all robots are shown", within=60)
        shown = set(OF_NOW)

        def all_shown() -> bool:
            shown.difference_update({panel for panel in shown if stack.shows(*panel)})
            return not shown

        wait_until(all_shown, "all panels of now have data", within=60)
        for one in both:
            one.process.kill()
        killed = time.time()
        wait_until(lambda: stack.firing("ServiceDown"), "ServiceDown fires", within=ALERT_WITHIN)
        assert time.time() - killed <= ALERT_WITHIN
        wait_until(lambda: time.time() > killed + SHOWN_WITHIN, "the stats are due", SHOWN_WITHIN)
        _grey(stack, killed + SHOWN_WITHIN)
        wait_until(lambda: stack.pagerduty.of("trigger"), "it is paged", within=30)
        _loki_shows_lost_robots(stack)
    with service(**stack.variables) as after, ExitStack() as fleet_again:
        for n in range(ROBOTS):
            fleet_again.enter_context(_robot(after, n))
        wait_until(lambda: _connections(stack) == ROBOTS, "all robots are back", within=60)
        wait_until(lambda: stack.pagerduty.of("resolve"), "the incident is over", within=120)
        # A robot's page waits as long as this one; those of before have waited longer.
        _post(stack, [{"labels": {"alertname": "LaterAlert", "robot_id": "later"}}])
        later = partial(stack.pagerduty.of, "trigger", component="robot later")
        wait_until(later, "a later robot is paged", within=30)
        paged = {e["payload"]["component"]: e["dedup_key"] for e in stack.pagerduty.of("trigger")}
        assert paged.keys() == {"ServiceDown", "robot later"}
        assert len({event["dedup_key"] for event in stack.pagerduty.of("trigger")}) == 2


@pytest.mark.timeout(300)
def test_after_a_clean_restart_no_robot_is_offline(stack: Stack) -> None:
    """The instance that stops says that all are offline, and nobody shows that."""
    seen: set[float] = set()
    scrapes: set[str] = set()

    def look() -> bool:
        """Return whether three scrapes have come since the one instance is gone and all is well."""
        seen.update(float(one["value"][1]) for one in stack.shows("fleet.json", "Robots lost"))
        offline = 'charter_robot_condition_count{charter_robot_condition="offline"}'
        living = f"sum({offline} unless on (job, instance) charter:instances:gone)"
        seen.update(float(one["value"][1]) for one in query(stack.prometheus, living))
        if query(stack.prometheus, "charter:instances:gone") and _connections(stack) == ROBOTS:
            (at,) = query(stack.prometheus, "max(timestamp(charter_connection_active))")
            scrapes.add(at["value"][1])
        return len(scrapes) > 3

    with service(**stack.variables) as first, ExitStack() as fleet:
        for n in range(ROBOTS):
            fleet.enter_context(_robot(first, n))
        wait_until(lambda: _connections(stack) == ROBOTS, "all robots are shown", within=60)
        first.stop()
    with service(**stack.variables) as second, ExitStack() as fleet:
        for n in range(ROBOTS):
            fleet.enter_context(_robot(second, n))
        wait_until(look, "three scrapes have come", within=60)
    assert seen == {0.0}
    assert stack.firing("ServiceDown") == []


def test_every_panel_of_now_is_looked_at() -> None:
    """A new stat, table or ranking of the two dashboards shows an outage too, or says why not."""
    kinds = {"stat", "table", "bargauge"}
    known = {
        (name, panel["title"])
        for name in ("fleet.json", "pipeline.json")
        for panel in panels(dashboards()[name])
        if panel["type"] in kinds
    }
    assert known == OF_NOW | TELL | OF_A_RANGE.keys()


def _grey(stack: Stack, at: float) -> None:
    """Look at what is shown then: nothing is as of now, and what tells of it does."""
    assert [panel for panel in OF_NOW if stack.shows(*panel, at)] == []
    shown = [one["value"][1] for one in stack.shows("fleet.json", "Presence", at)]
    assert shown == ["0"] * ROBOTS, "presence shows the loss, not a hole"
    away = [float(one["value"][1]) for one in stack.shows("fleet.json", "Offline now", at)]
    assert len(away) == ROBOTS
    assert max(away) < SHOWN_WITHIN + FRESH
    (age,) = stack.shows("pipeline.json", "Age of data", at)
    assert float(age["value"][1]) > FRESH
    _, up, heartbeats, *numbers = stack.asked("pipeline.json", "Instances", at)
    assert all(float(one["value"][1]) > FRESH for one in heartbeats)
    assert (len(heartbeats), [up, *numbers]) == (2, [[]] * 5)


def _loki_shows_lost_robots(stack: Stack) -> None:
    """Post what Loki's ruler makes of the closes that the next instance writes."""
    rule = next(a for a in build.alerts() if a.name == "RobotDisconnected").rule(Links())
    alerts = [
        {
            "labels": {
                "alertname": rule["alert"],
                "severity": "warning",
                "robot_id": f"robot_{n:03}",
                "charter_robot_id": f"robot_{n:03}",
                "charter_connection_close_reason": "server_lost",
            },
            "annotations": {"summary": "lost", "description": "lost", **_urls(rule)},
        }
        for n in range(ROBOTS)
    ]
    _post(stack, alerts)


def _post(stack: Stack, alerts: list[dict[str, Any]]) -> None:
    """Send alerts to Alertmanager."""
    url = f"http://{stack.alertmanager}/api/v2/alerts"
    content, json_type = json.dumps(alerts), {"content-type": "application/json"}
    LOCAL.post(url, content=content, headers=json_type).raise_for_status()


def _urls(rule: dict[str, Any]) -> dict[str, str]:
    return {name: url for name, url in rule["annotations"].items() if name.endswith("_url")}


def _connections(stack: Stack) -> float:
    shown = stack.shows("fleet.json", "Connections")
    return float(shown[0]["value"][1]) if shown else 0.0


@contextmanager
def _robot(at: ServiceProcess, number: int) -> Iterator[None]:
    with (
        suppress(ConnectionClosed),
        connect(f"{at.websocket}/api/telemetry/ws/robot_{number:03}") as robot,
    ):
        robot.send(READING)
        yield
