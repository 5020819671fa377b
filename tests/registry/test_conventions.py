"""Names that are not the project's own are those of the semantic conventions, as published."""

import re
from pathlib import Path

import pytest

from charter_otel.otel import semconv
from charter_otel.registry import model
from support.node import installed

VERSION = semconv.SCHEMA_URL.rpartition("/")[2]
PACKAGE = "@opentelemetry/semantic-conventions"
DECLARED = re.compile(
    r'/\*\*((?:(?!\*/).)*)\*/\s*declare const (ATTR|METRIC)_\w+: "([^"]+)"', re.DOTALL
)
"""A constant of the package, with the comment that says whether it is deprecated."""
REGISTRY = model.load()


@pytest.fixture(scope="module")
def published() -> dict[str, set[str]]:
    """Return the names of that version that are not deprecated: attributes and metrics."""
    package = installed("conventions", f"{PACKAGE}@{VERSION}") / "node_modules" / PACKAGE
    names: dict[str, set[str]] = {"ATTR": set(), "METRIC": set()}
    for comment, kind, name in DECLARED.findall(_declarations(package)):
        if "@deprecated" not in comment:
            names[kind].add(name)
    return names


def _declarations(package: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(package.rglob("*.d.mts")))


def test_names_are_those_of_the_conventions(published: dict[str, set[str]]) -> None:
    """The version that the schema URL names has each of them, and deprecates none."""
    attributes = {key for key in REGISTRY.attributes if not key.startswith("charter.")}
    metrics = {each.name for each in REGISTRY.metrics if not each.name.startswith("charter.")}
    assert len(attributes) > 15
    assert len(metrics) > 5
    assert attributes - published["ATTR"] == set()
    assert metrics - published["METRIC"] == set()
