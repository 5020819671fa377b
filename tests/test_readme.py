"""The documents: examples run as they stand there, links lead somewhere, tables are complete."""

import re
import subprocess
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from charter_otel.charter import CATALOG
from charter_otel.cli import main
from charter_otel.service import settings
from charter_otel.telemetry.closing import CODES
from charter_otel.testing import declarations_restored

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "build", "node_modules", "templates"} & set(path.relative_to(ROOT).parts)
)
MAX_LINES = 200


def _text(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def _examples() -> list[Example]:
    sybil = Sybil(parsers=[PythonCodeBlockParser()])
    return [example for path in DOCUMENTS for example in sybil.parse(path).examples()]


def _place(example: Example) -> str:
    return f"{Path(example.path).relative_to(ROOT)}:{example.line}"


def test_the_readme_is_read_in_five_minutes() -> None:
    """A reader who wants to know more finds it in the README of a room."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "example",
    _examples(),
    ids=lambda example: f"{Path(example.path).relative_to(ROOT)}:{example.line}",
)
def test_a_python_example_runs(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is a program of its own."""
    monkeypatch.setenv("CHARTER_EVENT_STREAM", "memory://")
    example.document.namespace.clear()
    example.document.namespace["__name__"] = "__main__"
    with declarations_restored():
        example.evaluate()


def test_every_setting_is_in_the_table() -> None:
    """The settings are told where users look for them, each with its name."""
    text = _text("src", "charter_otel", "service", "README.md")
    told = set(re.findall(r"^\| `(CHARTER_[A-Z_]+)`", text, re.MULTILINE))
    names = settings.Settings.__struct_fields__
    assert told == {settings.PREFIX + name.upper() for name in names}


def test_every_event_and_close_code_is_in_its_table() -> None:
    """The tables say what the catalog and the gateway say."""
    assert all(f"| `{event_type}` |" in _text("README.md") for event_type in CATALOG)
    robots = _text("src", "charter_otel", "telemetry", "README.md")
    for reason, code in CODES.items():
        assert re.search(rf"^\| `{reason}` \| {code}\b", robots, re.MULTILINE), reason


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(path: Path) -> None:
    """Relative links are those of the checkout."""
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    relative = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in relative if not (path.parent / link).exists()] == []


def test_every_command_exists() -> None:
    """Commands in the text can be typed."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    targets = _text("Makefile")
    made = set(re.findall(r"^(?:[A-Z_]+=\S+ )*make ([a-z]+)|`make ([a-z]+)", text, re.MULTILINE))
    assert made
    assert {a or b for a, b in made} <= set(re.findall(r"^([a-z]+):", targets, re.MULTILINE))
    told = set(re.findall(r"(?:^|`)charter-otel ([a-z-]+)(?= |`|$)", text, re.MULTILINE))
    assert told - {"runs"} <= main.commands.keys()


def test_the_root_holds_what_tools_expect_there() -> None:
    """Everything else is at home in a room."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("needs git and a checkout")
    rooms = {"src", "collector", "dashboards", "tests", "charts", ".ci"}
    files = {
        *("pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
        *("SECURITY.md", "constraints.txt", "Dockerfile", "compose.yaml"),
        *(".gitignore", ".dockerignore"),
    }
    assert {line.partition("/")[0] for line in listed.stdout.splitlines()} <= rooms | files
