"""The dependencies: few, each with a reason, each pinned."""

import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from supply import bom
from supply.__main__ import audit
from supply.advisories import Advisories
from supply.closure import closure
from supply.pins import PROJECT, ROOT, known_weaknesses, lowest, pins

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
RUNTIME = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
PINS = pins()
SBOM = json.loads(bom.FILE.read_text(encoding="utf-8"))


def test_the_runtime_dependencies_are_these() -> None:
    """Another one is a decision: it is added here as well."""
    assert sorted(requirement.name for requirement in RUNTIME) == [
        "click", "httptools", "httpx", "litestar", "msgspec", "opentelemetry-api",
        "opentelemetry-exporter-otlp", "opentelemetry-sdk", "platformdirs", "pyjwt", "redis",
        "rich", "structlog", "uvicorn", "uvloop", "websockets",
    ]  # fmt: skip


@pytest.mark.parametrize("line", PROJECT["project"]["dependencies"])
def test_each_says_why_it_is_there(line: str) -> None:
    """A comment follows it."""
    assert re.search(rf'^    "{re.escape(line)}", +# \S', PYPROJECT, re.MULTILINE)


def test_everything_that_is_needed_is_pinned() -> None:
    """So that a fresh installation gets what was tested, and a pin fits the range beside it."""
    needed = closure()
    assert sorted(needed.keys() - PINS.keys()) == []
    assert [r for name, r in needed.items() if not r.specifier.contains(PINS[name])] == []


def test_packages_for_the_oldest_python_only_are_pinned_and_listed() -> None:
    """redis-py needs async-timeout below Python 3.11.3, on whatever Python this runs."""
    assert "async-timeout" in closure()
    (line,) = re.findall("^async-timeout==.*$", CONSTRAINTS, re.MULTILINE)
    assert Requirement(line).marker == Marker("python_full_version < '3.11.3'")


def test_each_has_a_licence_that_allows_its_use() -> None:
    """Permissive ones, which ask for no source in return."""
    permissive = re.compile(r"MIT|BSD|Apache|ISC|PSF|MPL|Python Software Foundation", re.IGNORECASE)
    for name in closure():
        try:
            metadata = distribution(name).metadata
        except PackageNotFoundError:
            assert name == "async-timeout"
            continue
        fields = ("License-Expression", "License")
        said = [text for field in fields for text in metadata.get_all(field) or []]
        said += [line for line in metadata.get_all("Classifier") or [] if "License" in line]
        assert permissive.search(" ".join(said)), name


def test_no_pin_and_no_range_allows_a_version_that_is_known_to_be_weak() -> None:
    """As far as `weaknesses.toml` knows, which asks nobody."""
    assert known_weaknesses(PINS) == []
    assert known_weaknesses(lowest()) == []


def test_a_version_that_is_known_to_be_weak_is_named() -> None:
    """With what is wrong with it, and from which version on it is not."""
    (line,) = known_weaknesses({canonicalize_name("H11"): Version("0.15.0")})
    assert line.startswith("h11 0.15.0 is older than 0.16.0: CVE-2025-43859")


ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-1"],
    "modified": "2026-11-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "H11"},
            "versions": ["0.9"],
            "ranges": [
                {
                    "type": "ECOSYSTEM",
                    "events": [
                        {"introduced": "1.0"},
                        {"fixed": "1.2"},
                        {"introduced": "2.0"},
                        {"last_affected": "2.3"},
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("version", "named"),
    [
        *(("0.8", False), ("0.9", True), ("0.9.1", False)),
        *(("1.0", True), ("1.1.9", True), ("1.2", False), ("1.9", False)),
        *(("2.0", True), ("2.3", True), ("2.3.1", False)),
    ],
)
def test_a_copy_of_an_advisory_database_is_understood(
    tmp_path: Path, version: str, *, named: bool
) -> None:
    """Listed versions, and ranges: just outside, at and just inside each end."""
    (tmp_path / "one.json").write_text(json.dumps(ADVISORY))
    advisories = Advisories(tmp_path)
    found = advisories.weaknesses({canonicalize_name("h11"): Version(version)})
    assert found == ([f"h11 {version}: PYSEC-2026-1, CVE-2026-1"] if named else [])
    assert advisories.newest == "2026-11-01"


def test_an_audit_that_looked_at_nothing_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, says what to do, and ends with 2."""
    monkeypatch.setattr("supply.__main__._yanked", list)
    assert audit(tmp_path) == 2
    output = capsys.readouterr().out
    assert "NOT AUDITED" in output
    assert "make audit ADVISORIES=" in output


def test_the_bill_of_materials_is_what_is_needed_in_the_versions_that_are_pinned() -> None:
    """Else run `make sbom`."""
    listed = {canonicalize_name(one["name"]): Version(one["version"]) for one in SBOM["components"]}
    assert listed == {name: PINS[name] for name in closure()}
    assert SBOM["metadata"]["component"]["version"] == version("charter-otel")
    assert all(one["purl"].startswith("pkg:pypi/") for one in SBOM["components"])


def test_the_wheel_brings_the_bill_of_materials_along(tmp_path: Path) -> None:
    """It is at the place that PEP 770 names, and the same sources make the same wheel."""
    wheels = [_wheel(tmp_path / name) for name in ("one", "two")]
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    with zipfile.ZipFile(wheels[0]) as wheel:
        (name,) = [name for name in wheel.namelist() if ".dist-info/sboms/" in name]
        assert wheel.read(name) == bom.FILE.read_bytes()


def test_the_description_on_a_package_index_leads_nowhere_in_the_checkout(tmp_path: Path) -> None:
    """Files and headings that the README links to are named there instead."""
    with zipfile.ZipFile(_wheel(tmp_path)) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        description = wheel.read(name).decode()
    assert "the registry (`src/charter_otel/registry/README.md`)" in description
    assert re.findall(r"\]\((?!\w+://)", description) == []


def _wheel(directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel
