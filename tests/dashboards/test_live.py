"""Every query, asked of a real Prometheus that a real fleet fills through the real Collector."""

import time
from functools import partial

import pytest
import yaml
from promql_parser import VectorSelector

from dashboards.limits import FRESH
from support import polling, runbooks
from support.dashboards import ROOT, dashboards, every, filled, label_values, variables
from support.installation import Installation
from support.promql import nodes

pytestmark = pytest.mark.timeout(240)

# Leaves the servers time to work.
wait_until = partial(polling.wait_until, every=0.2)

SETTLED = 60.0
"""Seconds after which everything that happens in the installation is in Prometheus."""


DISASTERS = (
    "charter_event_dropped_total{charter_sink",
    "otelcol_exporter_enqueue_failed",
    "otelcol_exporter_send_failed_metric_points",
    "charter_job_run_skipped_total{charter_job_skip_reason!=",
    "ALERTS{",
    "charter:groups:lost",
)
"""Series that come only when a queue is full, the back end refuses everything, or a run is late; or
when a site or the whole fleet is lost."""
RARE = (
    "annotation Deployments",
    "Slots skipped",
    "Collector starts",
    "Repeats",
    "Stream restarts",
    "Connections refused",
    "Presence changes",
)
"""Panels that are empty if no version changes, no run is late, no Collector restarts and nothing
comes back; if Redis keeps its data, and there are files enough."""


def selectors() -> set[str]:
    """Return all selectors of all queries, without what shifts them in time."""
    return {
        selector.prettify().partition(" offset ")[0]
        for target in every("prometheus")
        for selector in nodes(filled(target.text), VectorSelector)
    }


def test_every_series_exists(installation: Installation) -> None:
    """Each selector of each query finds series: no panel lives on its `or vector(0)` alone."""
    missing = selectors()

    def all_found() -> bool:
        missing.difference_update({one for one in missing if one.startswith(DISASTERS)})
        found = {one for one in missing if installation.ask(f"last_over_time({one}[10m])")}
        missing.difference_update(found)
        return not missing

    deadline = time.monotonic() + SETTLED
    while not all_found() and time.monotonic() < deadline:
        time.sleep(1)
    assert not missing


def test_no_panel_is_empty(installation: Installation) -> None:
    """Every query of every panel and annotation yields numbers."""
    left = [target for target in every("prometheus") if not target.where.endswith(RARE)]
    deadline = time.monotonic() + SETTLED
    while (
        left := [
            target
            for target in left
            if not installation.ask(filled(target.text), instant=target.instant)
        ]
    ) and time.monotonic() < deadline:
        time.sleep(2)
    assert not [target.where for target in left]


def test_no_variable_is_empty(installation: Installation) -> None:
    """Every variable that asks Prometheus offers something to choose."""
    for dashboard in dashboards().values():
        for variable in variables(dashboard, "query"):
            if variable["datasource"]["type"] == "prometheus":
                selector, name = label_values(variable)
                assert installation.offered(filled(selector), name), variable["name"]


def test_every_alert_is_shown(installation: Installation) -> None:
    """A firing alert is on the incidents dashboard, be it of one instance or of all."""
    (shown,) = (
        target.text for target in every("prometheus") if target.where.endswith(": Alerts over time")
    )

    def hidden() -> set[str]:
        asked = ('ALERTS{alertstate="firing", severity!="none"}', filled(shown))
        firing, seen = (
            {one["metric"]["alertname"] for one in installation.ask(query)} for query in asked
        )
        return firing - seen

    one = 'ALERTS{alertname="UnexpectedDisconnects", alertstate="firing"}'
    wait_until(lambda: installation.ask(one), "an alert of no instance fires", within=SETTLED)
    wait_until(lambda: not hidden(), "all that fires is shown", within=SETTLED)


def test_exemplars_arrive(installation: Installation) -> None:
    """Behind the histograms that panels show stand traces, by the name that Grafana looks for."""
    found = installation.exemplars("charter_job_run_duration_seconds_bucket")
    assert found
    assert all(len(exemplar["labels"]["trace_id"]) == 32 for exemplar in found)


def test_events_are_seen_in_time(installation: Installation) -> None:
    """From an event's emission to its effect in Prometheus it takes ten seconds at most."""
    delays = []
    for number in range(3):
        robot = f"robot_fresh_{number}"
        query = f'charter_robot_online{{charter_robot_id="{robot}"}} == 1'
        with installation.connect(robot):
            wait_until(partial(installation.ask, query), "presence is seen", within=20)
            seen = time.time()
        emitted = next(
            event["timestamp"]
            for event in installation.services[0].events("telemetry.connection_established")
            if event["payload"]["robot_id"] == robot
        )
        delays.append(seen - emitted)
    assert max(delays) <= FRESH, delays


def test_rules_see_the_fleet(installation: Installation) -> None:
    """Data that an alert rule asks for is there too, but for those of a disaster."""
    rules = yaml.safe_load((ROOT / "rules" / "charter.rules.yaml").read_text())
    asked = {
        selector.prettify().partition(" offset ")[0]
        for group in rules["groups"]
        for rule in group["rules"]
        for selector in nodes(rule["expr"], VectorSelector)
    }
    missing = {one for one in asked if not installation.ask(f"last_over_time({one}[10m])")}
    assert {one for one in missing if not one.startswith(DISASTERS)} == set()


def test_runbooks_ask_for_what_is_there(installation: Installation) -> None:
    """Each query of each runbook is valid, and its series exist, but those of a disaster."""
    asked = {
        selector.prettify().partition(" offset ")[0]
        for target in runbooks.promql()
        for selector in nodes(target.text, VectorSelector)
    }
    missing = {one for one in asked if not installation.ask(f"last_over_time({one}[10m])")}
    assert {one for one in missing if not one.startswith(DISASTERS)} == set()


def test_rules_fire(installation: Installation) -> None:
    """Everything that has happened to the fleet is an alert, or about to be one."""
    expected = {
        "CollectorDiscarding",
        "EntriesUnreadable",
        "EventsDeadLettered",
        "EventsDropped",
        "HighCpu",
        "JobFailed",
        "LowBattery",
        "ServiceDown",
        "ShortConnections",
        "UnexpectedDisconnects",
        "Watchdog",
    }

    def missing() -> set[str]:
        return expected - {one["metric"]["alertname"] for one in installation.ask("ALERTS")}

    wait_until(lambda: not missing(), "every alert is active", within=SETTLED)
