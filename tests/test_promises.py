"""Each number that the documents promise has a test that fails when it does not hold."""

import ast
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from charter_otel.service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
PROMISES: list[dict[str, Any]] = tomllib.loads(
    (ROOT / "tests" / "promises.toml").read_text(encoding="utf-8")
)["promise"]


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _function(test: str) -> ast.AST:
    """Return a test's code; its id is `file::function` or `file::class::function`."""
    path, *names = test.split("::")
    found: ast.AST = ast.parse(_text(path))
    for name in names:
        body: list[ast.AST] = getattr(found, "body", [])
        found = next(node for node in body if getattr(node, "name", None) == name)
    return found


def _constants(test: str) -> set[str]:
    """Return the names of constants of the package that a test's file imports."""
    imports = [
        node for node in ast.walk(ast.parse(_text(test.split("::", maxsplit=1)[0])))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("charter_otel")
    ]  # fmt: skip
    return {alias.name for node in imports for alias in node.names if alias.name.isupper()}


def _bound(place: str) -> Any:
    """Return a constant, `module:NAME`, or an argument's default, `module:Class(argument)`."""
    module, _, name = place.partition(":")
    name, _, argument = name.removesuffix(")").partition("(")
    found = getattr(import_module(module), name)
    return inspect.signature(found).parameters[argument].default if argument else found


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise["says"])
def test_a_promise_is_said_where_the_table_says(promise: dict[str, Any]) -> None:
    """Words that change in a document change here, and so somebody looks at the test."""
    place = promise["in"]
    assert place == "the contract" or promise["says"] in " ".join(_text(place).split())


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise["says"])
def test_a_promise_has_a_test_that_knows_the_number(promise: dict[str, Any]) -> None:
    """The test exists; the number is the code's default, or stands in the test as a number."""
    function = _function(promise["test"])
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    assert not used & _constants(promise["test"]), "it compares the code with itself"
    if "number" not in promise:
        return
    if place := promise.get("bound"):
        assert _bound(place) == promise["number"]
    else:
        written = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)}
        assert promise["number"] in written


def test_every_number_of_the_delivery_table_is_a_promise() -> None:
    """The README's section on delivery has no number that nothing holds."""
    section = _text("README.md").partition("## Delivery guarantees")[2].partition("## ")[0]
    assert "appendfsync" in section
    plain = re.sub(r"`[^`]*`", "`…`", section)
    promised = [p["says"] for p in PROMISES if p["in"] == "README.md"]
    for says in promised:
        plain = plain.replace(re.sub(r"`[^`]*`", "`…`", says), "")
    assert re.findall(r"\d[\d,.]*\d|\d", plain) == []


def test_the_settings_table_has_the_defaults() -> None:
    """A number in the column of defaults is the one that the service takes."""
    rows = re.findall(
        r"^\| `(CHARTER_[A-Z_]+)` \| `([\d.]+)` \|",
        _text("src/charter_otel/service/README.md"),
        re.MULTILINE,
    )
    told = {name: float(default) for name, default in rows}
    defaults = {
        PREFIX + name.upper(): float(default)
        for name in Settings.__struct_fields__
        if type(default := getattr(Settings(), name)) in {int, float}
    }
    assert told == defaults
