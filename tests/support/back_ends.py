"""Loki and Tempo on loopback, with the configuration of `compose.yaml`.

No package registry has them, so the tests that need them run where somebody has installed them.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dashboards.rules.build import RULES
from rules.servers import running
from support import require
from support.http import LOCAL
from support.ports import free_port

_CONFIGS = yaml.safe_load((Path(__file__).parents[2] / "compose.yaml").read_text())["configs"]
_NANO = 1_000_000_000


@dataclass(frozen=True)
class BackEnds:
    """Addresses of Loki, Tempo, and Tempo's receiver of OTLP."""

    loki: str
    tempo: str
    spans: str

    def records(self, query: str, since: float, *, instant: bool = False) -> list[dict[str, Any]]:
        """Return what LogQL finds since a time: streams of records, or series of numbers."""
        now = int(time.time() * _NANO)
        if instant:
            asked = {"query": query, "time": str(now)}
            return _result(f"{self.loki}/loki/api/v1/query", asked)
        asked = {"query": query, "start": str(int(since * _NANO)), "end": str(now), "step": "15s"}
        return _result(f"{self.loki}/loki/api/v1/query_range", asked)

    def label(self, name: str) -> list[str]:
        """Return the values of a label in Loki."""
        return _result(f"{self.loki}/loki/api/v1/label/{name}/values", {})

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that Loki's ruler has."""
        answer = LOCAL.get(f"{self.loki}/prometheus/api/v1/alerts").raise_for_status().json()
        found: list[dict[str, Any]] = answer["data"]["alerts"]
        return found

    def traces(self, query: str, since: float) -> list[dict[str, Any]]:
        """Return the traces that TraceQL finds since a time."""
        asked = {"q": query, "start": str(int(since)), "end": str(int(time.time()) + 1)}
        answer = LOCAL.get(f"{self.tempo}/api/search", params=asked)
        if answer.is_server_error:  # It would rather fail than miss what it has not read yet.
            return []
        assert answer.is_success, f"{answer.text}: {asked}"
        found: list[dict[str, Any]] = answer.json()["traces"]
        return found

    def spans_of(self, trace: str) -> list[str]:
        """Return the names of the spans of a trace that are there so far."""
        answer = LOCAL.get(f"{self.tempo}/api/v2/traces/{trace}")
        if not answer.is_success:
            return []
        return [
            span["name"]
            for resource in answer.json()["trace"]["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@contextlib.contextmanager
def back_ends(directory: Path) -> Iterator[BackEnds]:
    """Run both. Skips where a program is missing."""
    rules = directory / "tenants" / "fake"
    rules.mkdir(parents=True)
    shutil.copy(RULES / "charter.loki.yaml", rules)
    with (
        _server("loki", directory, {"/etc/loki/rules": rules.parent, "/loki": directory}) as loki,
        _server("tempo", directory, {"/var/tempo": directory / "tempo"}) as tempo,
    ):
        yield BackEnds(loki[0], *tempo)


@contextlib.contextmanager
def _server(name: str, directory: Path, places: dict[str, Path]) -> Iterator[tuple[str, str]]:
    """Run one of them elsewhere than in its container; give its address and that of its OTLP."""
    program = shutil.which(name)
    require(name, available=program is not None, reason=f"no {name} on PATH; grafana/{name} has it")
    text = _CONFIGS[name]["content"]
    for place, path in places.items():
        text = text.replace(f" {place}", f" {path}")
    configuration = yaml.safe_load(text)
    http, grpc, otlp = (f"127.0.0.1:{free_port()}" for _ in range(3))
    configuration["server"] = _listening(http=http, grpc=grpc)
    if name == "tempo":
        configuration["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"] = otlp
    else:
        configuration["common"]["instance_addr"] = "127.0.0.1"
        configuration["ruler"]["alertmanager_url"] = "http://127.0.0.1:9"
    path = directory / f"{name}.yaml"
    path.write_text(json.dumps(configuration))
    command = [str(program), f"-config.file={path}"]
    with running(command, directory / f"{name}.log", f"http://{http}/ready"):
        yield f"http://{http}", f"http://{otlp}"


def _listening(**addresses: str) -> dict[str, object]:
    listening: dict[str, object] = {}
    for protocol, address in addresses.items():
        host, _, port = address.partition(":")
        listening[f"{protocol}_listen_address"] = host
        listening[f"{protocol}_listen_port"] = int(port)
    return listening


def _result(url: str, asked: dict[str, str]) -> list[Any]:
    answer = LOCAL.get(url, params=asked)
    assert answer.is_success, f"{answer.text}: {asked}"
    data = answer.json().get("data", [])
    found: list[Any] = data["result"] if isinstance(data, dict) else data
    return found
