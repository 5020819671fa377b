"""The alert rules: what is committed, what Prometheus makes of it, what every alert carries."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards import external, limits
from dashboards.promql import GROUPS, at_most, label, metric_name
from dashboards.rules import build
from dashboards.rules.alert import Links
from dashboards.rules.collector import ENQUEUE_FAILED, SEND_FAILED
from rules.servers import promtool

RULES = {path.name: yaml.safe_load(path.read_text()) for path in build.RULES.glob("charter.*.yaml")}
ALERTS: list[dict[str, Any]] = [
    rule
    for document in RULES.values()
    for group in document["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
PROMETHEUS = [
    rule
    for group in RULES["charter.rules.yaml"]["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
LOKI = [rule for group in RULES["charter.loki.yaml"]["groups"] for rule in group["rules"]]
CASES = sorted((build.RULES / "tests").glob("*.test.yaml"))
by_name = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))


def test_committed_files_are_those_of_the_definitions() -> None:
    """A change of a definition or of a metric's name without `build` fails here."""
    assert build.main(["--check"]) == 0


def test_drift_is_found_and_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--check` fails on a stale file and leaves it; without it the file is written."""
    stale = tmp_path / "charter.rules.yaml"
    stale.write_text("old")
    monkeypatch.setattr(build, "files", lambda _: {stale: "new"})
    assert build.main(["--check"]) == 1
    assert stale.read_text() == "old"
    assert build.main([]) == 0
    assert stale.read_text() == "new"


def test_prometheus_accepts_the_rules() -> None:
    """`promtool check rules` finds nothing."""
    promtool("check", "rules", str(build.RULES / "charter.rules.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name.partition(".")[0])
def test_alerts_fire_stay_silent_and_resolve(case: Path, tmp_path: Path) -> None:
    """The cases of `promtool test rules` hold; each runs with the groups that it asks about.

    With all groups, hours of samples take minutes.
    """
    text = case.read_text()
    asked = set(re.findall(r'alertname="(\w+)"', text))
    groups = [
        group
        for group in RULES["charter.rules.yaml"]["groups"]
        if group["name"] == "charter.service" or asked & {r.get("alert") for r in group["rules"]}
    ]
    if any(group["name"] == "charter.objectives" for group in groups):
        groups += [g for g in RULES["charter.rules.yaml"]["groups"] if "recorded" in g["name"]]
    (tmp_path / "charter.rules.yaml").write_text(json.dumps({"groups": groups}))
    copy = tmp_path / case.name
    copy.write_text(text.replace("../charter.rules.yaml", "charter.rules.yaml"))
    promtool("test", "rules", str(copy))


@pytest.mark.parametrize("rule", PROMETHEUS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_cases(rule: dict[str, Any]) -> None:
    """Each alert is seen to fire and to be silent; but the watchdog, which fires always."""
    name = rule["alert"]
    checks = [
        check
        for case in CASES
        for test in yaml.safe_load(case.read_text())["tests"]
        for check in test["promql_expr_test"]
        if f'alertname="{name}"' in check["expr"]
    ]
    assert any(check["exp_samples"] for check in checks)
    assert name == "Watchdog" or any(not check["exp_samples"] for check in checks)


@by_name
def test_labels(rule: dict[str, Any]) -> None:
    """The severity is set, and one id at most says whose incident it is."""
    pages_nobody = rule["alert"] in {"Watchdog", "OutageInhibitor"}
    assert rule["labels"]["severity"] in ({"none"} if pages_nobody else {"warning", "critical"})
    assert len(rule["labels"].keys() - {"severity"}) <= 1
    assert rule["labels"].keys() <= {"severity", "job_id", "robot_id"}


@by_name
def test_texts_and_links(rule: dict[str, Any]) -> None:
    """Summary, description, runbook, dashboard and trace are there."""
    annotations = rule["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    for name in ("runbook_url", "dashboard_url", "trace_url"):
        assert annotations[name].startswith("http")
    assert "$value" not in annotations["summary"], "a summary that changes makes a new incident"


@by_name
def test_runbook(rule: dict[str, Any]) -> None:
    """The runbook exists, has its four parts, the query, and links that lead somewhere."""
    name = rule["annotations"]["runbook_url"].rpartition("/")[2]
    path = build.RUNBOOKS / name
    text = path.read_text()
    assert re.findall(r"^#+ (.*)$", text, re.MULTILINE) == [
        rule["alert"],
        "Meaning",
        "Impact",
        "Diagnosis",
        "Mitigation",
    ]
    assert rule["expr"] in text
    for target in re.findall(r"\]\((\w+\.md)\)", text):
        assert (path.parent / target).exists(), target


def test_every_runbook_is_an_alerts() -> None:
    """No runbook is left of an alert that is gone."""
    assert {path.stem for path in build.RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in ALERTS}


def test_names_in_rules_and_runbooks_are_known() -> None:
    """Every metric that a rule or a runbook names is one that somebody declares."""
    known = _series(
        [value for value in vars(semconv).values() if isinstance(value, Metric)]
        + [*external.COLLECTOR, *external.PROMETHEUS, *ENQUEUE_FAILED, *SEND_FAILED]
    )
    attributes = {*GROUPS.values()} | {
        label(v) for k, v in vars(semconv).items() if k.isupper() and isinstance(v, str)
    }
    texts = [rule["expr"] for rule in ALERTS]
    texts += [path.read_text() for path in build.RUNBOOKS.glob("*.md")]
    named = {
        name
        for text in texts
        for name in re.findall(r"\b(?:charter|otelcol|messaging)_\w+", text)
        if not name.endswith("_")
    }
    assert named - known - attributes == set()


def test_every_number_of_the_specification_is_in_a_rule() -> None:
    """5 s, 60 s, 20 % and 90 %, as the specification has them."""
    rules = {rule["alert"]: rule["expr"] for rule in ALERTS}
    assert (limits.SLOW_JOB, limits.SHORT_CONNECTION) == (5.0, 60)
    assert (limits.LOW_BATTERY, limits.HIGH_CPU) == (0.2, 0.9)
    assert at_most(5) in rules["JobSlow"]
    assert at_most(60) in rules["ShortConnections"]
    assert "< 0.2\n" in rules["LowBattery"]
    assert "> 0.9\n" in rules["HighCpu"]


def test_boundaries_that_rules_use_are_boundaries_of_the_histograms() -> None:
    """A rule that asks for a bucket that is not there would never fire."""
    assert limits.SLOW_JOB in semconv.CHARTER_JOB_RUN_DURATION.boundaries
    assert limits.SHORT_CONNECTION in semconv.CHARTER_CONNECTION_DURATION.boundaries


@pytest.mark.parametrize("rule", LOKI, ids=lambda rule: str(rule["alert"]))
def test_alerts_of_loki_carry_the_trace(rule: dict[str, Any]) -> None:
    """The correlation id is a label, in the text and in the trace's address."""
    correlation = label(semconv.CHARTER_EVENT_CORRELATION_ID)
    assert correlation in rule["expr"]
    assert f"$labels.{correlation}" in rule["annotations"]["description"]
    assert f"$labels.{correlation}" in rule["annotations"]["trace_url"]


def test_searches_for_traces_compare_no_attribute_with_a_number() -> None:
    """Tempo finds no float by `< 60`, nor an integer by `< 60.0`; a span's duration has a unit."""
    for alert in build.alerts():
        assert not re.search(r"\.[\w.]+ *(?:[<>]=?|!?=) *[\d.]+ ", alert.traces), alert.name


def test_links_lead_into_another_grafana() -> None:
    """Addresses of an installation replace the defaults everywhere."""
    text = build.prometheus(links=Links("https://grafana.test", "https://books.test"))
    assert "localhost" not in text
    assert "https://grafana.test/d/" in text
    assert "https://books.test/JobFailed.md" in text


def test_the_service_s_grafana_is_that_of_its_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`CHARTER_GRAFANA_URL` is what the generator reads, too; the runbooks are in it."""
    written = tmp_path / "charter.rules.yaml"
    monkeypatch.setattr(build, "files", lambda links: {written: build.prometheus(links=links)})
    monkeypatch.setenv("CHARTER_GRAFANA_URL", "https://grafana.test/")
    assert build.main([]) == 0
    text = written.read_text()
    assert "localhost" not in text
    assert "https://grafana.test/d/" in text
    assert "https://grafana.test/public/runbooks/JobFailed.md" in text


def test_one_variable_sets_service_rules_and_panels() -> None:
    """`CHARTER_THRESHOLDS` is what the generators read, too."""
    code = "from dashboards.rules import build; print(build.prometheus())"
    environment = {**os.environ, "CHARTER_THRESHOLDS": "battery_low=15,fleet_robots=7"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=build.RULES.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "< 0.15\n" in done.stdout
    assert "clamp_min(0.01 * " in done.stdout
    assert ", 7)" in done.stdout


def test_alertmanager_is_fitted_to_an_installation() -> None:
    """Secrets lie in a directory of one's own; without a heartbeat service nothing is sent."""
    shipped = build.ALERTMANAGER.read_text()
    fitted = yaml.safe_load(build.alertmanager(shipped, "secrets/", heartbeat=False))
    receivers = {receiver["name"]: receiver for receiver in fitted["receivers"]}
    key = receivers["pagerduty"]["pagerduty_configs"][0]["routing_key_file"]
    assert key == "secrets/pagerduty_routing_key"
    assert receivers["heartbeat"] == {"name": "heartbeat"}


def test_alertmanager_holds_back_the_robots_of_each_group() -> None:
    """A lost site, model or firmware is one page, for each label that robots are grouped by."""
    configuration = yaml.safe_load(build.ALERTMANAGER.read_text())
    equal = [rule["equal"] for rule in configuration["inhibit_rules"] if "equal" in rule]
    assert equal == [[label] for label in GROUPS.values()]
    (route,) = (r for r in configuration["route"]["routes"] if "GroupDisconnected" in str(r))
    # Not all labels: another Prometheus of a pair may add one of its own.
    assert route["group_by"] == ["alertname", "job", *GROUPS.values()]


def test_inhibited_alerts_wait_for_their_cause() -> None:
    """An alert that was sent before it is held back would never be resolved."""
    configuration = yaml.safe_load(build.ALERTMANAGER.read_text())
    patient = " ".join(
        matcher
        for route in configuration["route"]["routes"]
        if route.get("group_wait") == "1m"
        for matcher in route["matchers"]
    )
    with_ids = {rule["alert"] for rule in ALERTS if rule["labels"].keys() & {"job_id", "robot_id"}}
    for rule in configuration["inhibit_rules"]:
        for matcher in rule["target_matchers"]:
            for name in re.findall(r"[A-Z]\w+", matcher.partition("~")[2]):
                immediate = name in {"ServiceDown", "StreamQueueFilling", "SubscriberLagging"}
                known_late = name in {"FleetDisconnected", "SiteDisconnected", "GroupDisconnected"}
                assert name in with_ids or name in patient or immediate or known_late, name


def _series(metrics: list[Metric]) -> set[str]:
    parts = ("bucket", "sum", "count")
    return {
        metric_name(metric, part)  # type: ignore[arg-type]
        for metric in metrics
        for part in (parts if metric.instrument == "histogram" else ("",))
    }
