"""The README's examples run as they stand there."""

import re
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from charter_otel.charter import CATALOG
from charter_otel.cli import main
from charter_otel.service import settings
from charter_otel.telemetry.closing import CODES

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def _examples() -> list[Example]:
    return list(Sybil(parsers=[PythonCodeBlockParser()]).parse(README).examples())


@pytest.mark.parametrize("example", _examples(), ids=lambda example: f"line {example.line}")
def test_a_python_example_runs(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is a program of its own."""
    monkeypatch.setenv("CHARTER_EVENT_STREAM", "memory://")
    example.document.namespace.clear()
    example.evaluate()


def test_every_setting_is_in_the_table() -> None:
    """The settings are told where users look for them, each with its name."""
    told = set(re.findall(r"^\| `(CHARTER_[A-Z_]+)`", TEXT, re.MULTILINE))
    names = settings.Settings.__struct_fields__
    assert told == {settings.PREFIX + name.upper() for name in names}


def test_every_event_and_close_code_is_in_its_table() -> None:
    """The tables say what the catalog and the gateway say."""
    assert all(f"| `{event_type}` |" in TEXT for event_type in CATALOG)
    for reason, code in CODES.items():
        assert re.search(rf"^\| `{reason}` \| {code}\b", TEXT, re.MULTILINE), reason


def test_every_link_leads_to_a_file() -> None:
    """Relative links are those of the checkout."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_every_command_exists() -> None:
    """What the text tells to type can be typed."""
    targets = (README.parent / "Makefile").read_text(encoding="utf-8")
    made = set(re.findall(r"^(?:[A-Z_]+=\S+ )*make ([a-z]+)|`make ([a-z]+)", TEXT, re.MULTILINE))
    assert made
    assert {a or b for a, b in made} <= set(re.findall(r"^([a-z]+):", targets, re.MULTILINE))
    told = set(re.findall(r"(?:^|`)charter-otel ([a-z-]+)(?= |`|$)", TEXT, re.MULTILINE))
    assert told - {"runs"} <= main.commands.keys()
