"""compose.yaml and the Dockerfile, as far as they can be checked without a Docker engine."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from charter_otel.cli import main
from rules.servers import promtool
from support import require

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
each = pytest.mark.parametrize("name", SERVICES)
SERVERS = [name for name in SERVICES if name != "fleet"]
"""Those that listen somewhere."""
PORTS = {"redis": {6379}}
"""Ports of images that compose.yaml does not need to name."""


def test_the_whole_stack_is_there() -> None:
    """Service, Redis, Collector, what stores, alerts and shows, Redis's exporter, and a fleet."""
    assert set(SERVICES) == {
        *("service", "fleet", "redis", "redis-exporter", "collector", "prometheus"),
        *("alertmanager", "loki", "tempo", "grafana"),
    }


@each
def test_images_are_pinned(name: str) -> None:
    """Each image has a full version, and none comes from an address."""
    assert re.fullmatch(
        r"[a-z0-9-]+(/[a-z_-]+)?:v?\d+\.\d+\.\d+(-[a-z]+)?", SERVICES[name]["image"]
    )


@pytest.mark.parametrize("name", SERVERS)
def test_health_checks(name: str) -> None:
    """Each service can be asked how it is, and is waited for only where it can."""
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= check.keys()
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert other in SERVICES


@each
def test_mounted_files_exist(name: str) -> None:
    """Paths are the project's, read-only; volumes, configs and secrets are declared."""
    service = SERVICES[name]
    for mount in service.get("volumes", []):
        source, _, rest = mount.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), mount
            assert rest.endswith(":ro"), mount
        else:
            assert source in COMPOSE["volumes"]
    assert {config["source"] for config in service.get("configs", [])} <= COMPOSE["configs"].keys()
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()


@each
def test_only_loopback_is_published(name: str) -> None:
    """No port of the stack can be reached from another machine."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_every_address_is_one_that_listens() -> None:
    """A host and port that one service names is another service's."""
    text = "\n".join(
        [
            *(str(v) for s in SERVICES.values() for v in s.get("environment", {}).values()),
            *(config["content"] for config in COMPOSE["configs"].values()),
        ]
    )
    named = set(re.findall(r"\b([a-z-]+):(\d{4,5})\b", text))
    assert {("collector", "8889"), ("redis-exporter", "9121"), ("redis", "6379")} <= named
    for host, port in named:
        assert int(port) in _listening(host), f"{host}:{port}"


def test_health_checks_ask_a_port_that_listens() -> None:
    """The port of a health check is one of the service's own."""
    for name in SERVERS:
        for word in SERVICES[name]["healthcheck"]["test"]:
            for url in re.findall(r"http://[^ ')]+", word):
                assert urlsplit(url).port in _listening(name)


def test_variables_are_those_that_somebody_reads() -> None:
    """The Collector's are in its example file, Grafana's in its provisioning."""
    example = (ROOT / "collector" / ".env.example").read_text()
    for variable in SERVICES["collector"]["environment"]:
        assert f"{variable}=" in example
    provisioning = "".join(
        path.read_text() for path in (ROOT / "dashboards" / "provisioning").rglob("*.yaml")
    )
    for variable in SERVICES["grafana"]["environment"]:
        assert variable.startswith("GF_") or f"${{{variable}}}" in provisioning
    assert all(
        variable in SERVICES["grafana"]["environment"]
        for variable in re.findall(r"\$\{(CHARTER_\w+)\}", provisioning)
    )


def test_a_dead_instance_is_shown_for_half_a_minute() -> None:
    """Its series go fifteen exports after the last, not after the Collector's three minutes."""
    assert SERVICES["service"]["environment"]["OTEL_METRIC_EXPORT_INTERVAL"] == "2000"
    expiration = SERVICES["collector"]["environment"]["CHARTER_COLLECTOR_METRIC_EXPIRATION"]
    assert expiration == "30s"


def test_secrets_are_files_that_alertmanager_reads() -> None:
    """Nothing secret has a default in the file, and Alertmanager looks where they are mounted."""
    alertmanager = (ROOT / "dashboards" / "alertmanager.yaml").read_text()
    for name, secret in COMPOSE["secrets"].items():
        assert f"/run/secrets/{name}" in alertmanager
        assert re.fullmatch(r"\$\{[A-Z_]+_FILE:-.+\}", secret["file"])
    assert ":?" in SERVICES["service"]["environment"]["CHARTER_AUTH_SECRET"]


def test_a_watchdog_without_an_address_fails_nothing() -> None:
    """Its pings go to something inside that answers 2xx to a POST: the Collector's health check."""
    default = COMPOSE["secrets"]["heartbeat_url"]["file"].partition(":-")[2].removesuffix("}")
    url = urlsplit((ROOT / default).read_text().strip())
    assert (url.scheme, url.hostname) == ("http", "collector")
    assert (
        f":{url.port}" in SERVICES["collector"]["environment"]["CHARTER_COLLECTOR_HEALTH_ENDPOINT"]
    )


def test_the_fleet_is_what_the_command_line_takes() -> None:
    """The profile's robots know the service and its secret, and stay."""
    fleet = SERVICES["fleet"]
    assert fleet["profiles"] == ["fleet"]
    assert fleet["environment"] == {
        "CHARTER_AUTH_SECRET": SERVICES["service"]["environment"]["CHARTER_AUTH_SECRET"]
    }
    name, *arguments = fleet["command"]
    options = main.commands[name].make_context(name, arguments).params
    assert options["seconds"] > 86_400
    assert {"url": "ws://service:8000", "robots": 20}.items() <= options.items()


def test_a_viewer_needs_no_password_and_starts_at_the_fleet() -> None:
    """Clients on loopback may read; the home dashboard is one that is mounted."""
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == environment["CHARTER_DASHBOARDS_DIR"]
    assert (ROOT / "dashboards" / "json" / home.name).exists()


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    """`promtool check config` finds nothing; the rule file is where it is mounted."""
    content = COMPOSE["configs"]["prometheus"]["content"]
    mounts = [mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]]
    (rules,) = yaml.safe_load(content)["rule_files"]
    assert rules in mounts
    shutil.copy(ROOT / "dashboards" / "rules" / "charter.rules.yaml", tmp_path)
    (tmp_path / "prometheus.yaml").write_text(content.replace("/etc/prometheus/", ""))
    promtool("check", "config", str(tmp_path / "prometheus.yaml"))


def test_alertmanager_accepts_its_configuration(tmp_path: Path) -> None:
    """`amtool check-config` finds nothing but what Debian's older version does not know."""
    amtool = shutil.which("amtool")
    require("alertmanager", available=amtool is not None, reason="no amtool on PATH")
    text = (ROOT / "dashboards" / "alertmanager.yaml").read_text()
    path = tmp_path / "alertmanager.yaml"
    path.write_text(text.replace("url_file: /run/secrets/heartbeat_url", "url: http://127.0.0.1"))
    done = subprocess.run(
        [str(amtool), "check-config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["service", "collector"])
def test_images_of_ours_are_small_and_run_without_root(target: str) -> None:
    """Built in stages; the last one has a user of its own that owns the state directory."""
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    stage = next(text for text in stages if text.splitlines()[0].endswith(f" AS {target}"))
    assert SERVICES[target]["build"]["target"] == target
    assert f"COPY --from={target}-build" in stage
    assert re.search(r"^USER (?!root|0)\w+$", stage, re.MULTILINE)
    (volume,) = re.findall(r"^VOLUME (\S+)$", stage, re.MULTILINE)
    assert any(mount == f"{target}:{volume}" for mount in SERVICES[target]["volumes"])


def test_files_that_the_images_copy_are_in_the_build_context() -> None:
    """The paths exist, and `.dockerignore` lets them through."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
        assert path.partition("/")[0] in allowed, path


def test_the_package_is_made_of_what_the_image_copies(tmp_path: Path) -> None:
    """A wheel builds from those paths alone, with the files that `charter-otel assets` writes."""
    build = re.search(
        r"^FROM .* AS service-build\n(.*?)^FROM ", DOCKERFILE, re.DOTALL | re.MULTILINE
    )
    assert build is not None
    for paths, target in re.findall(r"^COPY (.*) (\S+)$", build[1], re.MULTILINE):
        for path in paths.split():
            if (ROOT / path).is_dir():
                shutil.copytree(ROOT / path, tmp_path / target, symlinks=True)
            else:
                shutil.copy(ROOT / path, tmp_path / target)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "wheels"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert "charter_otel/assets/compose.yaml" in names
    assert "charter_otel/assets/charts/charter-otel/files/rules/charter.rules.yaml" in names


def _listening(name: str) -> set[int]:
    service = SERVICES[name]
    ports = {int(port) for port in service.get("expose", [])}
    ports |= {int(port.rpartition(":")[2]) for port in service.get("ports", [])}
    return ports | PORTS.get(name, set())
