"""The names of Litestar's that the package uses are public ones."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import charter_otel

ADDED = {"_abc_impl", "_is_protocol"}
"""Attributes that Python gives to every subclass of an abstract class or a protocol."""


def imports() -> Iterator[tuple[str, str]]:
    """Yield module and name of each import from Litestar."""
    for path in Path(charter_otel.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("litestar"):
                yield from ((str(node.module), alias.name) for alias in node.names)


def test_each_import_is_public() -> None:
    """No part of it begins with an underscore, and it is there."""
    found = sorted(set(imports()))
    assert len(found) > 50
    assert [each for each in found if "._" in ".".join(each)] == []
    assert [each for each in found if not hasattr(import_module(each[0]), each[1])] == []


def classes() -> Iterator[type]:
    """Yield the package's classes that are subclasses of Litestar's."""
    for module in walk_packages(charter_otel.__path__, "charter_otel."):
        if not module.name.endswith("__main__"):
            for _, found in inspect.getmembers(import_module(module.name), inspect.isclass):
                if found.__module__ == module.name and _bases(found):
                    yield found


def _bases(subclass: type) -> list[type]:
    return [base for base in subclass.mro() if base.__module__.startswith("litestar.")]


def test_no_private_attribute_is_overridden() -> None:
    """A subclass of Litestar's shares no name with it that begins with one underscore."""
    found = list(classes())
    assert len(found) > 5
    taken = {
        f"{each.__name__}.{name}"
        for each in found
        for name in vars(each)
        if name.startswith("_") and not name.startswith("__")
        if any(hasattr(base, name) for base in _bases(each))
    }
    assert {name for name in taken if name.partition(".")[2] not in ADDED} == set()
