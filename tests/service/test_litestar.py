"""The names of Litestar's that the package uses are public ones."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import charter_otel


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
