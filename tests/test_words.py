"""The house's words: what a program can check of the rules in CONTRIBUTING.md."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("src", "tests", "dashboards", "charts", "collector")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "build", "node_modules"} & set(path.relative_to(ROOT).parts)
)

FIRST_WORDS = re.compile(
    r"(Gives?|Tells?|Have|Has|Surrounds?|Who(m|se|ever)?|What(ever)?|Wherever|Where|How)\b"
)
"""First words of a docstring that say neither what the code does nor what the thing is."""

NAMES = re.compile(
    r"(test_(who|whose|whom|whoever|what|whatever|where|wherever|how)_"
    r"|.*(?<![a-z])(bury|buried|letters?|mailbox|crumbs)(?![a-z]))"
)
"""Names of classes and functions that are private pictures, or lack a subject."""

LONGEST = 25
"""Most words of a sentence, or of a clause before a colon or a semicolon, in a docstring."""

BANNED = re.compile(
    r"\b(?<![Tt]here )(is|are|was|be) no (?!longer\b|more\b|less\b|one\b|other\b|room\b)\w"
    r"|\b[Tt]ake note\b"
    r"|\bsigns? of life\b"
    r"|\bcrumbs?\b"
)
"""Forms that are not idiomatic English, or private pictures."""


_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        body = node.body if isinstance(node, ast.Module | ast.ClassDef | _FUNCTION) else []
        for place, each in enumerate(body):
            is_documented = not place or isinstance(body[place - 1], ast.Assign | ast.AnnAssign)
            if is_documented and (text := _text(each)):
                yield each.lineno, inspect.cleandoc(text)


def _text(statement: ast.stmt) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return ""


def _sentences(text: str) -> Iterator[str]:
    """Yield the clauses of a docstring's paragraphs; a drawing is not a sentence."""
    for paragraph in re.split(r"\n\s*\n|\n *(?=[-*] |\w+: )", text):
        if not re.search("[│─]", paragraph):
            yield from re.split(r"(?<=[.!?:;])\s+", paragraph)


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a person reads of a source file: strings and comments."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for number, line in enumerate(source.splitlines(), 1):
        if (comment := line.partition("# ")[2]) and "noqa" not in comment:
            yield number, comment


def test_a_docstring_begins_with_what_the_code_does() -> None:
    """Readers of Python look for the imperative, "Return …", or for a noun."""
    wrong = [
        f"{_name(path)}:{line}: {text[:60]}"
        for path in SOURCES
        for line, text in _docstrings(_parse(path))
        if FIRST_WORDS.match(text)
    ]
    assert wrong == []


def test_a_name_has_no_private_picture() -> None:
    """A dead letter is what it is; a test is named by its subject."""
    wrong = [
        f"{_name(path)}:{node.lineno}: {node.name}"
        for path in SOURCES
        for node in ast.walk(_parse(path))
        if isinstance(node, ast.ClassDef | _FUNCTION)
        and NAMES.match(name := node.name)
        and not re.search("dead_?letter", name, re.IGNORECASE)
    ]
    assert wrong == []


def test_a_docstring_has_short_sentences() -> None:
    """A sentence that has to be read twice has lost its reader once."""
    wrong = [
        f"{_name(path)}:{line}: {sentence}"
        for path in SOURCES
        for line, text in _docstrings(_parse(path))
        for sentence in _sentences(text)
        if len(re.findall(r"\S*\w\S*", sentence)) > LONGEST
    ]
    assert wrong == []


def test_a_source_file_has_no_banned_form() -> None:
    """Docstrings, error texts, log lines and comments."""
    wrong = [
        f"{_name(path)}:{line}: {found[0]}"
        for path in SOURCES
        if path != Path(__file__)
        for line, text in _texts(path)
        for found in BANNED.finditer(text)
    ]
    assert wrong == []


def test_a_document_has_no_banned_form() -> None:
    """READMEs, runbooks, the changelog."""
    wrong = [
        f"{_name(path)}: {found[0]}"
        for path in DOCUMENTS
        for found in BANNED.finditer(_without_the_rule_itself(path))
    ]
    assert wrong == []


def _without_the_rule_itself(path: Path) -> str:
    text = path.read_text(encoding="utf-8").replace("`tests/test_words.py`", "")
    return text.replace('instead of "is no …"', "") if path.name == "CONTRIBUTING.md" else text
