"""The house: imports go one way, names are public on purpose, files stay small."""

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

import pytest

import charter_otel

PACKAGE = Path(charter_otel.__file__).parent
MODULES = [
    "charter_otel",
    *sorted(
        module.name
        for module in pkgutil.walk_packages([str(PACKAGE)], "charter_otel.")
        if not module.name.endswith("__main__")
    ),
]
FILES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
MAX_LINES = 300
MAX_FUNCTION = 40


def public(name: str) -> ModuleType:
    """Import a module by its name."""
    return importlib.import_module(name)


def test_imports_go_one_way() -> None:
    """The import-linter contract of `pyproject.toml` holds."""
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as c; c()",
        "--no-cache",
    ]
    ended = subprocess.run(
        command, cwd=PACKAGE.parents[1], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_star_import_works() -> None:
    """`from … import *` works for every package and module, so `__all__` names what exists."""
    for name in MODULES:
        namespace: dict[str, object] = {}
        exec(f"from {name} import *", namespace)  # noqa: S102 - the statement is the test
        assert set(getattr(public(name), "__all__", ())) <= namespace.keys(), name


def test_exported_names_are_documented() -> None:
    """Every exported class and function says what it is for, and the module does."""
    for name in MODULES:
        module = public(name)
        assert module.__doc__, name
        for exported in getattr(module, "__all__", ()):
            value = getattr(module, exported)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert inspect.getdoc(value), f"{name}.{exported}"


def test_exports_are_unique() -> None:
    """`__all__` is a list that one can look things up in."""
    for name in MODULES:
        exported = list(getattr(public(name), "__all__", ()))
        assert len(exported) == len(set(exported)), name


def test_files_and_functions_stay_small() -> None:
    """A file is 300 lines at most and a function 40, but for what is generated or a template."""
    long = {}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if "do not edit." in text[:400] or path.name == "render.py":
            continue
        if (lines := len(text.splitlines())) > MAX_LINES:
            long[str(path)] = lines
        for node in ast.walk(ast.parse(text)):
            if is_function(node) and (lines := own_lines(node)) > MAX_FUNCTION:
                long[f"{path}:{node.name}"] = lines
    assert long == {}


def is_function(node: ast.AST) -> TypeGuard[Function]:
    """Return whether it is the definition of a function."""
    return isinstance(node, Function)


def own_lines(function: Function) -> int:
    """Count a function's lines, without its docstring and the functions inside of it."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    inner = [n for statement in body for n in ast.walk(statement) if is_function(n)]
    whole = (function.end_lineno or 0) - body[0].lineno + 1 if body else 0
    return whole - sum((n.end_lineno or 0) - n.lineno + 1 for n in inner)


def run_python(program: str) -> str:
    """Run a program in a fresh interpreter, with warnings as errors, and give its output."""
    command = [sys.executable, "-W", "error", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_import_is_light() -> None:
    """`import charter_otel` brings neither Litestar nor an exporter nor a test runner."""
    loaded = run_python("import sys, charter_otel; print(*sys.modules)").split()
    heavy = ("litestar", "opentelemetry.exporter", "grpc", "requests", "uvicorn", "pytest", "yaml")
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_plugin_is_imported_when_asked_for() -> None:
    """`CharterPlugin` is there at the top, and only then Litestar is."""
    program = (
        "import sys, charter_otel; charter_otel.CharterPlugin; print('litestar' in sys.modules)"
    )
    assert run_python(program) == "True"


def test_help_shows_what_the_package_offers() -> None:
    """`help(charter_otel)` has no class whose inherited methods hide the others."""
    shown = run_python("import charter_otel; help(charter_otel)")
    assert "class Emitter" in shown
    assert "inherited from builtins.str" not in shown


def test_version_is_the_distribution_s() -> None:
    """The version has one source."""
    assert charter_otel.__version__ == importlib.metadata.version("charter-otel")


def test_unknown_name() -> None:
    """A name that is not there is an AttributeError, as with any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        charter_otel.nothing  # noqa: B018 - the access is the test


def test_no_path_of_a_machine() -> None:
    """No file of the package names a path of the machine that it was written on."""
    here = str(Path(__file__).parents[1])
    assert [path for path in FILES if here in path.read_text(encoding="utf-8")] == []
