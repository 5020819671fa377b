"""Real servers of Prometheus and Alertmanager, on loopback, with the project's files."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import yaml

from collector.harness import Collector
from support import require
from support.http import LOCAL
from support.polling import wait_until
from support.ports import free_port

ROOT = Path(__file__).parents[2]
ALERTMANAGER = ROOT / "dashboards" / "alertmanager.yaml"
NOWHERE = "127.0.0.1:9"
"""An Alertmanager that is not there."""
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
_PACKAGES = {"alertmanager": "prometheus-alertmanager", "exporter": "prometheus-redis-exporter"}
"""Debian's names of what is not in its package of Prometheus."""


def tool(name: str, needed: str, *names: str) -> str:
    """Return the path of a program, or skip; ``needed`` is its name in ``CHARTER_REQUIRE``.

    Those of ``CHARTER_TEST_STACK``, which `make stack` builds, come before the system's.
    """
    built = os.environ.get("CHARTER_TEST_STACK")
    paths = [str(Path(built).resolve()), None] if built else [None]
    found = next(
        (at for path in paths for n in (name, *names) if (at := which(n, path=path))), None
    )
    package = _PACKAGES.get(needed, "prometheus")
    require(
        needed,
        available=found is not None,
        reason=f"no {name} on PATH; Debian: apt-get install --no-install-recommends {package}",
    )
    return found or ""


def promtool(*arguments: str) -> None:
    """Run Prometheus's tool, or skip.

    Raises:
        AssertionError: It found something; the message is what it printed.
    """
    command = [tool("promtool", "prometheus"), *arguments]
    # It makes much garbage, and collecting that takes it a third of its time.
    environment = {"GOGC": "400", **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def alertmanager(
    directory: Path, pagerduty: str, heartbeat: str, *, as_shipped: bool = False
) -> Iterator[str]:
    """Run Alertmanager with the project's configuration and give its ``host:port``.

    Only addresses and secrets are others, and waiting times, unless they are to be as shipped.
    """
    program = tool("prometheus-alertmanager", "alertmanager", "alertmanager")
    (directory / "routing_key").write_text(f"{ROUTING_KEY}\n")
    configuration = yaml.safe_load(ALERTMANAGER.read_text())
    if not as_shipped:
        _hasten(configuration["route"])
    receivers = {receiver["name"]: receiver for receiver in configuration["receivers"]}
    pager, beat = receivers["pagerduty"], receivers["heartbeat"]
    pager["pagerduty_configs"][0] |= {
        "url": f"http://{pagerduty}/v2/enqueue",
        "routing_key_file": str(directory / "routing_key"),
    }
    if _takes_url_file(program):
        (directory / "heartbeat_url").write_text(f"http://{heartbeat}/\n")
        beat["webhook_configs"][0]["url_file"] = str(directory / "heartbeat_url")
    else:
        beat["webhook_configs"][0].pop("url_file")
        beat["webhook_configs"][0]["url"] = f"http://{heartbeat}/"
    path = directory / "alertmanager.yaml"
    path.write_text(json.dumps(configuration))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={path}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running(command, directory / "alertmanager.log", f"http://{address}/-/ready"):
        yield address


@contextlib.contextmanager
def prometheus(
    directory: Path,
    rules: str,
    targets: dict[str, str],
    alertmanager: str,
    interval: str = "1s",
    *,
    resend: str = "1s",
) -> Iterator[str]:
    """Run Prometheus on the rules and give its ``host:port``.

    Args:
        directory: Where its data lie.
        rules: Text of the rule file.
        targets: Addresses to scrape, by job.
        alertmanager: Where alerts go.
        interval: Time between two scrapes, and between two evaluations.
        resend: Time until a firing alert is sent again: one that fires before Alertmanager is
            discovered is told of soon. Prometheus's default is a minute.
    """
    program = tool("prometheus", "prometheus")
    (directory / "rules.yaml").write_text(rules)
    path = directory / "prometheus.yaml"
    path.write_text(json.dumps(_scraping(targets, alertmanager, interval)))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={path}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
        f"--rules.alert.resend-delay={resend}",
    ]
    with running(command, directory / "prometheus.log", f"http://{address}/-/ready"):
        yield address


def scraping(
    collector: Collector,
    directory: Path,
    rules: str,
    interval: str,
    alertmanager: str = NOWHERE,
    **others: str,
) -> contextlib.AbstractContextManager[str]:
    """Run Prometheus on what a Collector exports, and on its own metrics: see `prometheus`.

    ``others`` are addresses of more targets, by job.
    """
    targets = {"charter-otel": collector.prometheus, "otelcol-charter": collector.telemetry}
    addresses = {job: url.split("/")[2] for job, url in targets.items()} | others
    return prometheus(directory, rules, addresses, alertmanager, interval)


def query(address: str, expression: str, at: float | None = None) -> list[dict[str, Any]]:
    """Ask Prometheus and give the samples, as of now or of a Unix time."""
    asked = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
    answer = LOCAL.get(f"http://{address}/api/v1/query", params=asked)
    result: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
    return result


def _takes_url_file(program: str) -> bool:
    """Return whether this Alertmanager is as new as the configuration asks: Debian 12's is not."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    told = re.search(r"version (\d+)\.(\d+)", done.stdout + done.stderr)
    # A build of one's own may name none.
    return told is None or (int(told[1]), int(told[2])) >= (0, 27)


def _hasten(route: dict[str, Any]) -> None:
    route |= {"group_wait": "500ms", "group_interval": "1s"}
    for child in route.get("routes", []):
        # A robot's page still waits for the fleet's.
        patience = "3s" if "robot_id" in child["matchers"][0] else "500ms"
        child |= {"group_wait": patience, "group_interval": "1s"}


def _scraping(targets: dict[str, str], alertmanager: str, interval: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {
                "job_name": job,
                "honor_labels": True,
                "static_configs": [{"targets": [address]}],
            }
            for job, address in targets.items()
        ],
    }


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, ready: str, *, env: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server until the end of the block; it is ready when the address answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent, env=env)

    def answers() -> bool:
        assert process.poll() is None, f"{command[0]} ended:\n{log.read_text()[-2000:]}"
        with contextlib.suppress(httpx.TransportError):
            return LOCAL.get(ready).is_success
        return False

    try:
        wait_until(answers, f"{command[0]} is ready", within=30)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
