"""What is installed beside the package: little, each with a reason, each pinned."""

import re
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads(PYPROJECT)["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)$",
        (ROOT / "constraints.txt").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}


def test_the_runtime_dependencies_are_these() -> None:
    """Another one is a decision: it is added here as well."""
    assert sorted(requirement.name for requirement in RUNTIME) == [
        "click", "httpx", "litestar", "msgspec", "opentelemetry-api",
        "opentelemetry-exporter-otlp", "opentelemetry-sdk", "platformdirs", "pyjwt", "redis",
        "rich", "structlog", "uvicorn", "uvloop", "websockets",
    ]  # fmt: skip


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_each_says_why_it_is_there(line: str) -> None:
    """A comment follows it."""
    assert re.search(rf'^    "{re.escape(line)}", +# \S', PYPROJECT, re.MULTILINE)


def _closure() -> dict[NormalizedName, Requirement]:
    """Give all that the runtime dependencies need in this environment, by name."""
    waiting = list(RUNTIME)
    found: dict[NormalizedName, Requirement] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate()
        if name in found or not applies:
            continue
        found[name] = requirement
        environments = [{"extra": extra} for extra in ("", *requirement.extras)]
        for line in requires(requirement.name) or []:
            needed = Requirement(line)
            if needed.marker is None or any(map(needed.marker.evaluate, environments)):
                needed.marker = None
                waiting.append(needed)
    return found


def test_everything_that_is_needed_is_pinned() -> None:
    """So that a fresh installation gets what was tested, and a pin fits the range beside it."""
    closure = _closure()
    assert sorted(closure.keys() - PINS.keys()) == []
    assert [r for name, r in closure.items() if not r.specifier.contains(PINS[name])] == []


def test_each_has_a_licence_that_allows_its_use() -> None:
    """Permissive ones, which ask for no source in return."""
    permissive = re.compile(r"MIT|BSD|Apache|ISC|PSF|MPL|Python Software Foundation", re.IGNORECASE)
    for name in _closure():
        metadata = distribution(name).metadata
        said = [metadata["License-Expression"], metadata["License"]]
        said += [line for line in metadata.get_all("Classifier") or [] if "License" in line]
        assert permissive.search(" ".join(filter(None, said))), name
