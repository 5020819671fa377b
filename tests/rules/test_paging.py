"""From a series in Prometheus to PagerDuty: one incident per job or robot, escalated, resolved."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from charter_otel.otel import semconv
from dashboards.promql import GROUPS, metric_name
from dashboards.rules import build
from dashboards.rules.alert import Links
from dashboards.rules.thresholds import Thresholds
from rules.servers import ROUTING_KEY, alertmanager, prometheus, query
from rules.standins import Exporter, Heartbeat, PagerDuty
from support import polling
from support.http import LOCAL

# Leaves the servers time to work.
wait_until = partial(polling.wait_until, every=0.2)

QUICK = Thresholds(
    interval="1s",
    job_failed_window="8s",
    job_repeated_window="12s",
    disconnects_window="8s",
    fleet_window="15s",
    fleet_keep="1s",
)
RUNS = metric_name(semconv.CHARTER_JOB_RUN_DURATION, "count")
CONDITIONS = metric_name(semconv.CHARTER_ROBOT_CONDITION_COUNT)
CONNECTIONS = metric_name(semconv.CHARTER_CONNECTION_ACTIVE)
UPTIME = metric_name(semconv.PROCESS_UPTIME)
CLOSES = metric_name(semconv.CHARTER_CONNECTION_DURATION, "count")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FAILED = (
    f'{RUNS}{{job="charter-otel",instance="one",'
    'charter_job_id="aggregate_mission_metrics",error_type="RedisConnectionError"}'
)


@dataclass
class Pager:
    """Prometheus and Alertmanager between an exporter and PagerDuty."""

    exporter: Exporter
    pagerduty: PagerDuty
    heartbeat: Heartbeat
    alertmanager: str
    prometheus: str

    def post(self, *alerts: dict[str, Any]) -> None:
        """Send alerts to Alertmanager as Loki's ruler does."""
        LOCAL.post(f"http://{self.alertmanager}/api/v2/alerts", json=alerts).raise_for_status()


@pytest.fixture(scope="module")
def pager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pager]:
    """Run the way from the exporter to PagerDuty's stand-in."""
    directory: Path = tmp_path_factory.mktemp("pager")
    with (
        Exporter() as exporter,
        PagerDuty() as pagerduty,
        Heartbeat() as heartbeat,
        alertmanager(directory, pagerduty.address, heartbeat.address) as manager,
        prometheus(
            directory,
            build.prometheus(QUICK),
            {"charter-otel": exporter.address, "otelcol-charter": exporter.address},
            manager,
        ) as server,
    ):
        yield Pager(exporter, pagerduty, heartbeat, manager, server)


def test_a_failing_job_is_one_incident_that_escalates_and_resolves(pager: Pager) -> None:
    """A first failure warns; repeats make the same incident critical; it resolves by itself."""
    job = "job aggregate_mission_metrics"
    pager.exporter.series[FAILED] = 1
    wait_until(lambda: pager.pagerduty.of("trigger", component=job), "the first page", within=30)
    first = pager.pagerduty.of("trigger", component=job)[0]
    assert first["routing_key"] == ROUTING_KEY
    assert first["payload"]["severity"] == "warning"
    assert first["payload"]["summary"] == "Job `aggregate_mission_metrics` failed"
    assert [link["text"] for link in first["links"]] == ["Dashboard", "Runbook", "Trace"]
    assert first["links"][1]["href"].endswith("/JobFailed.md")

    pager.exporter.series[FAILED] = 3

    def escalated() -> object:
        return pager.pagerduty.of("trigger", component=job, severity="critical")

    wait_until(escalated, "the escalation", within=30)
    second = pager.pagerduty.of("trigger", component=job, severity="critical")[0]
    assert second["dedup_key"] == first["dedup_key"]
    assert "again and again" in second["payload"]["summary"]
    wait_until(lambda: pager.pagerduty.of("resolve"), "the resolution", within=60)
    assert {e["dedup_key"] for e in pager.pagerduty.of("resolve")} == {first["dedup_key"]}
    assert pager.pagerduty.of("invalid") == []


def test_a_page_of_loki_leads_to_the_trace(pager: Pager) -> None:
    """A failed run's page has its error, its correlation id and the address of its trace."""
    rule = next(alert for alert in build.alerts() if alert.name == "JobRunFailed")
    alert = _alert(
        rule.rule(Links()),
        charter_job_id="export_reports",
        charter_job_error_type="RedisConnectionError",
        charter_job_error_message="Connection to Redis lost",
        charter_event_correlation_id=TRACE,
    )
    pager.post(alert)

    def paged() -> object:
        return pager.pagerduty.of("trigger", component="job export_reports")

    wait_until(paged, "the page", within=20)
    event = pager.pagerduty.of("trigger", component="job export_reports")[0]
    assert "Connection to Redis lost" in event["payload"]["custom_details"]["firing"]
    assert event["payload"]["custom_details"]["correlation_ids"].strip() == TRACE
    assert TRACE in event["links"][2]["href"]


@pytest.mark.parametrize("name", GROUPS)
def test_a_lost_group_is_one_page_and_its_robots_none(pager: Pager, name: str) -> None:
    """A site, a model or a firmware is one incident by its name; other robots have their own."""
    alert = "SiteDisconnected" if name == "site" else "GroupDisconnected"
    lost, robot = (
        next(a for a in build.alerts() if a.name == n) for n in (alert, "RobotDisconnected")
    )
    label = GROUPS[name]
    robots = [
        _alert(
            robot.rule(Links()), charter_robot_id=f"{group}_{number}", **{label: f"{name}_{group}"}
        )
        for group, number in (("bad", 1), ("bad", 2), ("good", 1))
    ]
    groups = [_alert(lost.rule(Links()), **{label: f"{name}_{each}"}) for each in ("bad", "worse")]
    before = len(pager.pagerduty.events)
    pager.post(*robots, *groups)

    def told() -> list[str]:
        events = pager.pagerduty.events[before:]
        return sorted(e["payload"]["component"] for e in events if e["event_action"] == "trigger")

    wait_until(lambda: "robot good_1" in told(), "the other robot's page", within=30)
    wait_until(lambda: told().count(alert) == 2, "a page for each", within=30)
    assert told() == [alert, alert, "robot good_1"]
    ended = {"endsAt": datetime.now(UTC).isoformat()}
    pager.post(*(each | ended for each in (*robots, *groups)))


def test_a_thousand_robots_that_come_and_go_are_one_page(pager: Pager) -> None:
    """Few are lost at a time, but many within two minutes: none of them is told of alone."""
    of_one = 'job="charter-otel",instance="storm"'
    lost = f'{CONDITIONS}{{{of_one},charter_robot_condition="lost"}}'
    closes = f'{CLOSES}{{{of_one},charter_connection_close_reason="connection_lost"}}'
    storm = {f"{CONNECTIONS}{{{of_one}}}": 998, lost: 2, closes: 0, f"{UPTIME}{{{of_one}}}": 9000}
    pager.exporter.series |= storm
    before = len(pager.pagerduty.events)
    inhibitor = 'ALERTS{alertname="OutageInhibitor", cause="UnexpectedDisconnects"}'

    def goes_on() -> object:
        pager.exporter.series[closes] += 2
        return query(pager.prometheus, inhibitor)

    wait_until(goes_on, "the storm is known", within=30, every=0.5)
    rule = next(alert for alert in build.alerts() if alert.name == "RobotDisconnected")
    reason = {"charter_connection_close_reason": "connection_lost"}
    lost_ones = [
        _alert(rule.rule(Links()), charter_robot_id=f"storm_{number}", **reason)
        for number in range(20)
    ]
    pager.post(*lost_ones)

    def told() -> set[str]:
        events = pager.pagerduty.events[before:]
        return {e["payload"]["component"] for e in events if e["event_action"] == "trigger"}

    since = time.monotonic()
    wait_until(
        lambda: goes_on() and time.monotonic() > since + 6, "the robots' would be due", every=0.5
    )
    assert "UnexpectedDisconnects" in told()
    assert not [component for component in told() if "storm" in component]
    assert "FleetDisconnected" not in told()
    ended = {"endsAt": datetime.now(UTC).isoformat()}
    pager.post(*(alert | ended for alert in lost_ones))
    for name in storm:
        del pager.exporter.series[name]
    wait_until(lambda: not query(pager.prometheus, inhibitor), "the storm is over", within=60)


def test_a_fleet_wide_disconnect_is_one_page(pager: Pager) -> None:
    """Eight lost robots make one critical incident and none of their own."""
    robots = [f"robot_{number}" for number in range(8)]
    of_one = 'job="charter-otel",instance="one"'
    lost = f'{CONDITIONS}{{{of_one},charter_robot_condition="lost"}}'
    closes = f'{CLOSES}{{{of_one},charter_connection_close_reason="connection_lost"}}'
    connected = f"{CONNECTIONS}{{{of_one}}}"
    uptime = f"{UPTIME}{{{of_one}}}"
    pager.exporter.series |= {connected: 8, lost: 0, closes: 0, uptime: 9000}
    wait_until(lambda: query(pager.prometheus, f"{CONNECTIONS} == 8"), "all are online")
    pager.exporter.series |= {connected: 0, lost: 8, closes: 8}
    rule = next(alert for alert in build.alerts() if alert.name == "RobotDisconnected")
    pager.post(
        *(
            _alert(
                rule.rule(Links()),
                charter_robot_id=robot,
                charter_connection_close_reason="connection_lost",
                charter_event_correlation_id=TRACE,
            )
            for robot in robots
        )
    )
    fleet = "FleetDisconnected"
    wait_until(lambda: pager.pagerduty.of("trigger", component=fleet), "the page", within=30)
    assert pager.pagerduty.of("trigger", component=fleet)[0]["payload"]["severity"] == "critical"
    since = time.monotonic()
    wait_until(lambda: time.monotonic() > since + 4, "the robots' pages would be due")
    components = {e["payload"]["component"] for e in pager.pagerduty.of("trigger")}
    assert not components & {f"robot {robot}" for robot in robots}
    assert len({e["dedup_key"] for e in pager.pagerduty.of("trigger", component=fleet)}) == 1
    pager.exporter.series |= {connected: 8, lost: 0}
    key = pager.pagerduty.of("trigger", component=fleet)[0]["dedup_key"]

    def resolved() -> bool:
        return key in {event["dedup_key"] for event in pager.pagerduty.of("resolve")}

    wait_until(resolved, "the fleet is back", within=30)


def test_two_robots_are_two_incidents(pager: Pager) -> None:
    """Each robot's alerts are one incident of its own."""
    rule = next(alert for alert in build.alerts() if alert.name == "LowBattery")
    high = next(alert for alert in build.alerts() if alert.name == "HighCpu")
    for robot in ("robot_a", "robot_b"):
        pager.post(*(_alert(a.rule(Links()), charter_robot_id=robot) for a in (rule, high)))

    def keys(robot: str) -> set[str]:
        events = pager.pagerduty.of("trigger", component=f"robot {robot}")
        return {event["dedup_key"] for event in events}

    wait_until(lambda: keys("robot_a") and keys("robot_b"), "both pages", within=30)
    assert len(keys("robot_a") | keys("robot_b")) == 2


def test_the_watchdog_beats_and_pages_nobody(pager: Pager) -> None:
    """The heartbeat service hears it; PagerDuty does not."""
    wait_until(lambda: pager.heartbeat.beats, "a beat", within=30)
    assert pager.pagerduty.of("trigger", component="Watchdog") == []


def _alert(rule: dict[str, Any], **labels: str) -> dict[str, Any]:
    """Return an alert as a ruler makes it of a rule and the labels of a result."""

    def filled(text: str) -> str:
        for name, value in labels.items():
            text = text.replace("{{ $labels." + name + " }}", value)
        return text

    own = {name: filled(value) for name, value in rule["labels"].items()}
    return {
        "labels": {"alertname": rule["alert"], **labels, **own},
        "annotations": {name: filled(text) for name, text in rule["annotations"].items()},
    }
