"""A fault in a process that has imported the module already: its functions get other code."""

import ast
import gc
from collections import defaultdict
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType

_Place = tuple[str, int]
"""Qualified name and first line of what has code of its own."""


class Functions:
    """All functions of a package that this process has imported, by file."""

    def __init__(self, package: Path) -> None:
        self._by_file: dict[str, list[FunctionType]] = defaultdict(list)
        for found in gc.get_objects():
            if isinstance(found, FunctionType) and found.__code__.co_filename.startswith(
                f"{package}/"
            ):
                self._by_file[found.__code__.co_filename].append(found)

    def changes(self, module: Path, tree: ast.Module) -> dict[FunctionType, CodeType] | None:
        """Return the code that the module's functions have in a syntax tree of the same lines.

        Returns:
            None if that is not all: what differs outside of functions, or in what a function
            closes over, needs a process that imports the module anew.
        """
        path = str(module)
        old = dict(_codes(compile(module.read_text(encoding="utf-8"), path, "exec")))
        new = dict(_codes(compile(tree, path, "exec")))
        if new.keys() - old.keys():
            return None
        if any(
            not code.co_flags & CO_OPTIMIZED and _own(code) != _own(old[place])
            for place, code in new.items()
        ):
            return None
        changed: dict[FunctionType, CodeType] = {}
        for function in self._by_file[path]:
            place = _place(function.__code__)
            if place in new and new[place] != old[place]:
                if new[place].co_freevars != function.__code__.co_freevars:
                    return None
                changed[function] = new[place]
        return changed or None


def _place(code: CodeType) -> _Place:
    return code.co_qualname, code.co_firstlineno


def _codes(code: CodeType) -> Iterator[tuple[_Place, CodeType]]:
    """Yield the code of a module with all that is in it."""
    yield _place(code), code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _own(code: CodeType) -> tuple[object, ...]:
    """Return what code does by itself, apart from the functions in it."""
    constants = [None if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return code.co_code, code.co_names, constants
