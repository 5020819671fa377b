"""The chart says what the rest of the project says, and refuses what cannot work."""

import json
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.pods import VALUES, Pod, chart, workload
from charts import check, crds
from charts.helm import CHART, HINT, HelmError, render
from charts.helm import VALUES as VALUES_OF_ALL

ROOT = CHART.parents[1]
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
CHART_FILE: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
SCRAPED = "serviceMonitor.enabled=true"
PRODUCTION = CHART / "ci" / "production-values.yaml"


def test_the_chart_passes_its_checks() -> None:
    """Helm's linter, Kubernetes's schemas and the policies find nothing."""
    pytest.importorskip("kubernetes_validate", reason="`make lint` installs it where helm is")
    assert check.main() == 0


def test_a_check_that_fails_is_reported(tmp_path: Path) -> None:
    """A field that Kubernetes does not know is named, with its object."""
    pytest.importorskip("kubernetes_validate", reason="`make lint` installs it where helm is")
    values = tmp_path / "wrong-values.yaml"
    values.write_text("podSecurityContext: {runAsNobody: true}")
    problems = "\n".join(check.problems(values))
    assert "StatefulSet fleet-charter-otel is wrong for Kubernetes" in problems
    assert "runAsNobody" in problems


def test_custom_resources_are_what_their_projects_define() -> None:
    """The chart makes one of each kind, and a field that a project does not know is named."""
    pytest.importorskip("kubernetes_validate", reason="`make lint` installs it where helm is")
    if not crds.CRDS.is_dir():
        pytest.skip(f"no definitions of custom resources; {HINT}")
    made = {o["kind"]: o for values in VALUES_OF_ALL for o in render(values) if crds.is_custom(o)}
    assert made.keys() == {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
    for found in made.values():
        assert list(crds.problems(found)) == []
        found["spec"]["typo"] = 1
        assert "'typo' was unexpected" in "".join(crds.problems(found))
    made["ScaledObject"]["spec"] = {"triggers": [{"type": "prometheus"}]}
    assert len(list(crds.problems(made["ScaledObject"]))) == 2


def test_versions_are_those_of_the_package_and_of_compose() -> None:
    """A version stands in one more place only, and is the same there."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (CHART_FILE["version"], CHART_FILE["appVersion"]) == (version, version)
    images = {found["name"]: found["image"] for found in _containers(chart(SCRAPED))}
    names = ("service", "redis", "redis-exporter", "collector")
    assert images == {name: COMPOSE[name]["image"] for name in names}


def test_files_of_other_rooms_are_linked_not_copied() -> None:
    """Collector configurations, dashboards, rules and runbooks have one home each."""
    files = [path for path in (CHART / "files").rglob("*") if not path.is_dir()]
    linked = [path for path in (CHART / "files").rglob("*") if path.is_symlink()]
    assert all(any(path.is_relative_to(link) for link in linked) for path in files)
    assert all(path.resolve(strict=True).is_relative_to(ROOT) for path in linked)
    maps = {o["metadata"]["name"]: o["data"] for o in chart() if o["kind"] == "ConfigMap"}
    for name in ("base.yaml", "gateway.yaml"):
        assert maps["fleet-charter-otel-gateway"][name].strip() == _text(f"collector/{name}")
    fleet = maps["fleet-charter-otel-dashboard-fleet"]["charter-fleet.json"]
    assert fleet.strip() == _text("dashboards/json/fleet.json")
    assert len(maps["fleet-charter-otel-runbooks"]) == len(_names("dashboards/runbooks/*.md"))


def test_each_value_is_documented_and_in_the_schema() -> None:
    """The schema has the keys of values.yaml and no others; each of the top level is commented."""
    assert _keys(DEFAULTS) == _schema_keys(SCHEMA)
    lines = (CHART / "values.yaml").read_text().splitlines()
    for name in DEFAULTS:
        above = lines[: next(n for n, line in enumerate(lines) if line.startswith(f"{name}:"))]
        paragraph = takewhile(bool, reversed(above))
        assert any(line.startswith("# ") for line in paragraph), name


def test_the_environment_is_what_the_service_reads() -> None:
    """References, numbers without an exponent, and the pod's name as the instance."""
    secrets = {
        ("charter-otel-auth", "auth-secret"): "s",
        ("fleet-redis", "url"): "rediss://:p@redis.example:6380/0",
        ("pagerduty", "routing-key"): "k",
    }
    pod = Pod(render(PRODUCTION), "fleet-charter-otel", Path(), secrets)
    expected = {
        "CHARTER_EVENT_STREAM": "rediss://:p@redis.example:6380/0",
        "CHARTER_PAGERDUTY_ROUTING_KEY": "k",
        "CHARTER_CONSUMERS": "status,analytics,audit,alerts",
        "CHARTER_MAX_CONNECTIONS": "1000000",
        "CHARTER_METRICS_PUBLISHED": "false",
        "CHARTER_HEARTBEAT_TIMEOUT": "90.5",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://fleet-charter-otel-agent:4318",
    }
    assert expected.items() <= pod.environment.items()
    attributes = pod.environment["OTEL_RESOURCE_ATTRIBUTES"].split(",")
    assert {
        "service.instance.id=fleet-0",
        "deployment.environment.name=production",
    } <= set(attributes)


@pytest.mark.parametrize("seconds", [0, 30, 600])
def test_the_grace_period_follows_the_drain(seconds: int) -> None:
    """Kubernetes kills nobody that still drains, and waits 20 s for the rest."""
    pod = Pod(chart(f"drainSeconds={seconds}"), "fleet-charter-otel", Path(), _AnySecret())
    assert pod.environment["CHARTER_DRAIN_SECONDS"] == str(seconds)
    assert pod.grace == seconds + 20


def test_agents_know_each_gateway() -> None:
    """The names are those that the StatefulSet and its headless service make."""
    objects = chart("collector.gateway.replicas=3")
    agent = Pod(objects, "fleet-charter-otel-agent", Path())
    gateway = workload(objects, "fleet-charter-otel-gateway")
    name, service = gateway["metadata"]["name"], gateway["spec"]["serviceName"]
    hosts = ",".join(f"{name}-{number}.{service}:4317" for number in range(3))
    assert agent.environment["CHARTER_GATEWAYS"] == f"[{hosts}]"


def test_prometheus_reaches_what_it_scrapes() -> None:
    """Each port is one of a Service, of a container, and open to Prometheus."""
    objects = chart(SCRAPED)
    monitors = [o for o in objects if o["kind"] == "ServiceMonitor"]
    assert len(monitors) == 3
    for monitor in monitors:
        selected = monitor["spec"]["selector"]["matchLabels"]
        ports = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
        found = [o for o in objects if selected.items() <= o["metadata"]["labels"].items()]
        services = [o["spec"]["ports"] for o in found if o["kind"] == "Service"]
        assert ports <= {port["name"] for each in services for port in each}
        listening = [port for one in _containers(found) for port in one.get("ports", [])]
        assert ports <= {port["name"] for port in listening}
        (policy,) = (o["spec"] for o in found if o["kind"] == "NetworkPolicy")
        scrapers = DEFAULTS["networkPolicy"]["scrapersFrom"]
        let_in = [rule["ports"] for rule in policy["ingress"] if rule["from"] == scrapers]
        assert ports == {port["port"] for each in let_in for port in each}


def test_secrets_of_a_vendor_reach_the_gateways_only() -> None:
    """An agent runs on each node, and needs none."""
    objects = render(PRODUCTION)
    roles = {
        role: Pod(objects, f"fleet-charter-otel-{role}", Path()) for role in ("agent", "gateway")
    }
    assert roles["gateway"].container["envFrom"] == [{"secretRef": {"name": "grafana-cloud"}}]
    assert "envFrom" not in roles["agent"].container


def test_links_of_alerts_lead_where_the_values_say() -> None:
    """No page leads to the machine of whoever reads it."""
    rules = [
        json.dumps(found)
        for found in render(PRODUCTION)
        if found["kind"] == "PrometheusRule" or found["metadata"]["name"].endswith("loki-rules")
    ]
    assert len(rules) == 2
    for text in rules:
        assert "https://grafana.example/" in text
        assert "https://wiki.example/runbooks/" in text
        assert "localhost" not in text


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (("redis.enabled=false",), "eventStream.url"),
        (('eventStream.url="memory://"',), "replicas=1"),
        (('eventStream.url="none"',), "replicas=1"),
        (('eventStream.url="http://redis"',), "/eventStream/url"),
        (('consumers=["alerts"]',), "pagerduty.secretName"),
        (('collector.vendor="typo"',), "typo.yaml is not in the chart"),
        (('settings={"CHARTER_AUTH_SECRET": "in the clear"}',), "auth.secretName"),
        (('settings={"PATH": "/"}',), "extraEnv"),
        (('settings={"CHARTER_DRAIN_SECONDS": 600}',), "use drainSeconds, which the grace period"),
        (("drainSeconds=-1",), "/drainSeconds"),
        (("replicsa=3",), "replicsa"),
    ],
)
def test_values_that_cannot_work_are_refused(sets: tuple[str, ...], says: str) -> None:
    """Before anything is installed, and the text names the value to change."""
    with pytest.raises(HelmError, match=says):
        render(VALUES, *sets)


class _AnySecret(dict[tuple[str, str], str]):
    def get(self, *_: Any) -> str:
        return "s"


def _containers(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kinds = {"StatefulSet", "DaemonSet"}
    return [
        container
        for found in objects
        if found["kind"] in kinds
        for container in found["spec"]["template"]["spec"]["containers"]
    ]


def _keys(values: dict[str, Any], path: str = "") -> set[str]:
    """Return the paths of the values, as deep as the chart names them."""
    found = set()
    for name, value in values.items():
        found.add(f"{path}{name}")
        node = _node(f"{path}{name}")
        if isinstance(value, dict) and "properties" in node and name != "resources":
            found |= _keys(value, f"{path}{name}.")
    return found


def _schema_keys(schema: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for name in schema["properties"].keys() - {"global"}:
        found.add(f"{path}{name}")
        node = _node(f"{path}{name}")
        if "properties" in node and name != "resources":
            found |= _schema_keys(node, f"{path}{name}.")
    return found


def _node(path: str) -> dict[str, Any]:
    node = SCHEMA
    for name in path.split("."):
        node = node["properties"][name]
        if reference := node.get("$ref"):
            node = SCHEMA["$defs"][reference.rpartition("/")[2]]
    return node


def _text(path: str) -> str:
    return (ROOT / path).read_text().strip()


def _names(pattern: str) -> list[Path]:
    return list(ROOT.glob(pattern))
