"""From a series in Prometheus to PagerDuty: one incident per job or robot, escalated, resolved."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from charter_otel.otel import semconv
from dashboards.promql import metric_name
from dashboards.rules import build
from dashboards.rules.alert import Links
from dashboards.rules.thresholds import Thresholds
from rules.servers import ROUTING_KEY, alertmanager, prometheus, query
from rules.standins import Exporter, Heartbeat, PagerDuty
from support.polling import wait_until

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
        httpx.post(f"http://{self.alertmanager}/api/v2/alerts", json=alerts).raise_for_status()


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
    assert not any(component.startswith("robot") for component in components)
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
