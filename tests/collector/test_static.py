"""Static checks of the configurations."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.harness import CONFIGS, VENDORS

BASE = ("base.yaml",)
OVERLAYS = [f"vendors/{name}.yaml" for name in VENDORS]
# Each way to start the Collector that the README names.
STARTS = [
    BASE,
    (*BASE, "agent.yaml"),
    (*BASE, "gateway.yaml"),
    (*BASE, "logfile.yaml"),
    (*BASE, "console.yaml"),
    *((*BASE, overlay) for overlay in OVERLAYS),
    *((*BASE, "gateway.yaml", overlay) for overlay in OVERLAYS),
    *((*BASE, "logfile.yaml", overlay) for overlay in OVERLAYS),
]
FILES = ["base.yaml", "agent.yaml", "gateway.yaml", "logfile.yaml", "console.yaml", *OVERLAYS]
KINDS = ("receivers", "processors", "exporters")
# Base's own ways out: an overlay that replaces the list they stand in leaves them idle.
MAY_IDLE = {"exporters": {"debug", "prometheus"}, "processors": set(), "receivers": set()}
DEPRECATED = {
    "receivers": {"filelog", "jaeger", "opencensus"},
    "processors": {"batch", "cumulativetodelta", "attributes", "tailsampling"},
    "exporters": {"logging", "loadbalancing", "otlp", "otlphttp"},
    "extensions": {"filestorage", "healthcheck", "memory_ballast"},
}
MODULES = {
    "otlp": "otlpreceiver",
    "file_log": "filelogreceiver",
    "otlp_http": "otlphttpexporter",
    "load_balancing": "loadbalancingexporter",
    "health_check": "healthcheckextension",
    "file_storage": "filestorage",
}
VARIABLE = re.compile(r"\$\{env:(\w+)")


def load(name: str) -> dict[str, Any]:
    """Read one configuration."""
    loaded = yaml.safe_load((CONFIGS / name).read_text())
    assert isinstance(loaded, dict)
    return loaded


def merge(*names: str) -> dict[str, Any]:
    """Merge configurations as repeated `--config` does: maps deeply, lists are replaced."""
    merged: dict[str, Any] = {}
    for name in names:
        _merge(merged, load(name))
    return merged


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def exporters(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the exporters that send data over a network."""
    for name, settings in config.get("exporters", {}).items():
        if name not in MAY_IDLE["exporters"]:
            yield name, settings


@pytest.mark.parametrize("names", STARTS, ids=" + ".join)
def test_used_components_are_declared_and_the_reverse(names: tuple[str, ...]) -> None:
    """Each pipeline names what exists, and nothing exists that no pipeline names."""
    config = merge(*names)
    for kind in KINDS:
        used = {
            name
            for pipeline in config["service"]["pipelines"].values()
            for name in pipeline.get(kind, [])
        }
        declared = set(config.get(kind, {}))
        assert used <= declared, kind
        assert declared - used <= MAY_IDLE[kind], kind
    assert set(config["service"]["extensions"]) == set(config["extensions"])


@pytest.mark.parametrize("names", STARTS, ids=" + ".join)
def test_pipelines_are_limited_and_redacted(names: tuple[str, ...]) -> None:
    """The memory limiter is first, and nothing leaves unredacted or waits in a batch processor."""
    for pipeline in merge(*names)["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        assert "redaction" in pipeline["processors"]
        assert not [name for name in pipeline["processors"] if name.startswith("batch")]


def test_every_variable_is_explained() -> None:
    """`.env.example` holds each variable that is read, with its default, and no other."""
    read: dict[str, str | None] = {}
    for name in FILES:
        text = (CONFIGS / name).read_text()
        read |= dict.fromkeys(VARIABLE.findall(text))
        read |= dict(re.findall(r"\$\{env:(\w+):-([^{}$]*)\}", text))
    explained = {}
    for entry in (CONFIGS / ".env.example").read_text().splitlines():
        if entry and not entry.startswith(("# ", "#\n")):
            found = re.fullmatch(r"(#?)(\w+)=(\S*) +# \S.*", entry)
            assert found, f"not VARIABLE=value # comment: {entry}"
            optional, variable, value = found.groups()
            explained[variable] = value if optional else None
            assert optional or not value, f"{variable} is required and has a value"
    assert explained.keys() == read.keys()
    nested = {"CHARTER_OTLP_LOGS_ENDPOINT", "CHARTER_OTLP_TRACES_ENDPOINT"}
    nested |= {"CHARTER_OTLP_METRICS_ENDPOINT"}
    assert {name: value for name, value in explained.items() if name not in nested} == {
        name: value for name, value in read.items() if name not in nested
    }


def test_listens_on_loopback_by_default() -> None:
    """Nobody outside the host reaches a port unless told so."""
    text = (CONFIGS / "base.yaml").read_text()
    listening = re.findall(r"(?:endpoint|host): (.*)", text)
    assert len(listening) == 5
    assert all(":-127.0.0.1" in address for address in listening)


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_written_down(name: str) -> None:
    """A header that authenticates takes its value from the environment."""
    for _, settings in exporters(load(name)):
        for header, value in settings.get("headers", {}).items():
            harmless = header.lower() in {"dd-otlp-source", "compute_stats"}
            assert harmless or "${env:" in value, header
    text = re.sub(r"\$\{[^}]*\}", "", (CONFIGS / name).read_text())
    assert not re.findall(r"(?i)(?:key|token|secret|password): *[\w-]{12,}", text)


@pytest.mark.parametrize("name", FILES)
def test_names_are_current(name: str) -> None:
    """No component goes by a name that the Collector warns of."""
    config = load(name)
    for kind, names in DEPRECATED.items():
        used = {key.split("/")[0] for key in config.get(kind, {})}
        assert not used & names


@pytest.mark.parametrize("name", [*OVERLAYS, "agent.yaml"])
def test_queues_are_kept_on_disk(name: str) -> None:
    """Each exporter queues on disk, batches in the queue and never gives up."""
    sending = dict(exporters(load(name)))
    assert sending
    for settings in sending.values():
        assert settings["retry_on_failure"]["max_elapsed_time"] == 0
        assert settings["sending_queue"]["storage"] == "file_storage"
        assert settings["sending_queue"]["batch"]["max_size"] <= 2000


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_is_small(name: str) -> None:
    """An overlay holds exporters and lists of exporters; a pipeline of its own only for deltas."""
    assert len((CONFIGS / name).read_text().splitlines()) <= 40
    config = load(name)
    assert config.keys() <= {"exporters", "processors", "service"}
    assert config.get("processors", {}).keys() <= {"cumulative_to_delta"}
    for pipeline, lists in config["service"]["pipelines"].items():
        assert pipeline == "metrics/delta" or lists.keys() == {"exporters"}


def test_storage_is_fsynced() -> None:
    """The queue on disk survives a crash of the machine."""
    assert load("base.yaml")["extensions"]["file_storage"]["fsync"] is True


def test_status_texts_are_redacted_like_attributes() -> None:
    """Values that the redaction processor hides are hidden in a span's status text too."""
    processors = load("base.yaml")["processors"]
    patterns = [
        re.fullmatch(r'replace_pattern\(span\.status\.message, "(.*)", "\*{4}"\)', statement)
        for statement in processors["transform/status"]["trace_statements"]
    ]
    found = [match[1].replace(r"\\", "\\").replace(r"\"", '"') for match in patterns if match]
    assert found == processors["redaction"]["blocked_values"]


def test_builder_has_just_what_is_used() -> None:
    """The Collector that is built holds the components that the configurations use."""
    manifest = load("builder.yaml")
    for kind in (*KINDS, "extensions"):
        used = {key.split("/")[0] for name in FILES for key in load(name).get(kind, {})}
        wanted = {
            MODULES.get(name, f"{name.replace('_', '')}{kind.removesuffix('s')}") for name in used
        }
        built = {Path(entry["gomod"].split()[0]).name for entry in manifest[kind]}
        assert built == wanted, kind


def test_builder_pins_one_release() -> None:
    """All components come from one release, each with its version."""
    manifest = load("builder.yaml")
    versions = {
        entry["gomod"].split()[1] for kind in (*KINDS, "extensions") for entry in manifest[kind]
    }
    assert len(versions) == 1
    assert re.fullmatch(r"v0\.\d+\.\d+", versions.pop())
