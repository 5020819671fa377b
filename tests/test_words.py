"""The house's words: what a program can check of the rules in CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("src", "tests", "dashboards", "charts", "collector")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "build", "node_modules"} & set(path.relative_to(ROOT).parts)
)

FIRST_WORDS = re.compile(r"(Give|Gives|Tell|Tells|Have|Surround|Surrounds|Who|What) ")
"""First words of a function's docstring that do not say what the code does."""

BANNED = re.compile(
    r"\b(?<![Tt]here )(is|are|was|be) no (?!longer\b|more\b|less\b|one\b|other\b|room\b)[a-z]"
    r"|\b[Tt]ake note\b"
    r"|\bsigns? of life\b"
    r"|\bcrumbs?\b"
)
"""Forms that are not idiomatic English, or private pictures."""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            text := ast.get_docstring(node)
        ):
            yield node.lineno, text


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a person reads of a source file: strings and comments."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for number, line in enumerate(source.splitlines(), 1):
        if (comment := line.partition("# ")[2]) and "noqa" not in comment:
            yield number, comment


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_docstring_begins_with_what_the_code_does(path: Path) -> None:
    """Readers of Python look for the imperative: "Return …", "Yield …"."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = [f"{line}: {text[:60]}" for line, text in _functions(tree) if FIRST_WORDS.match(text)]
    assert wrong == []


@pytest.mark.parametrize("path", [p for p in SOURCES if p != Path(__file__)], ids=_name)
def test_a_source_file_has_no_banned_form(path: Path) -> None:
    """Docstrings, error texts, log lines and comments."""
    wrong = [
        f"{line}: {found[0]}" for line, text in _texts(path) for found in BANNED.finditer(text)
    ]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_a_document_has_no_banned_form(path: Path) -> None:
    """READMEs, runbooks, the changelog."""
    text = path.read_text(encoding="utf-8").replace("`tests/test_words.py`", "")
    if path.name == "CONTRIBUTING.md":
        text = text.replace('instead of "is no …"', "")
    assert [found[0] for found in BANNED.finditer(text)] == []
