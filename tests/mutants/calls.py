"""Which test calls which function, in the processes that it starts too.

The tests run on a copy of the package whose functions note their names: far quicker than a trace,
and a test with a time limit passes as it does without. As a plugin, this tells test from test.
"""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from mutants import noting
from mutants.suites import OUTPUT, PACKAGE, ROOT, files_of_tests

KEPT = OUTPUT / "calls.json"
"""For each test file its digest, and what its tests call."""

OPTIONS = ("-q", "-p", "no:cacheprovider", "-n", os.environ.get("JOBS", "2"), "--dist", "loadfile")
"""Options of the run without a fault."""


class Known(NamedTuple):
    """Duration and calls of a test that passed without a fault."""

    seconds: float
    calls: frozenset[str]
    """`telemetry/fleet.py Fleet.take`, of every process that ran during the test."""


def instrumented(source: str, file: str) -> str:
    """Return a module whose functions note that they are called."""
    tree = ast.parse(source)
    _instrument(tree, file, "")
    at = 1 if ast.get_docstring(tree) is not None else 0
    while at < len(tree.body) and getattr(tree.body[at], "module", "") == "__future__":
        at += 1
    tree.body.insert(at, ast.parse("from mutants.noting import called as _called_").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def copy_instrumented(package: Path, to: Path) -> None:
    """Copy a package; its functions note their names."""
    shutil.copytree(package, to, ignore=shutil.ignore_patterns("__pycache__"))
    for module in to.rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        module.write_text(instrumented(text, module.relative_to(to).as_posix()), encoding="utf-8")


def _instrument(tree: ast.AST, file: str, where: str) -> None:
    for child in ast.iter_child_nodes(tree):
        inside = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{where}.{child.name}".removeprefix(".")
        _instrument(child, file, inside)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            at = 1 if ast.get_docstring(child) is not None else 0
            note = ast.parse(f"_called_({f'{file} {inside}'!r})").body[0]
            child.body.insert(at, note)


class Recorder:
    """Plugin that notes which functions each passing test calls.

    Args:
        folder: Where the processes note them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, set[str]] = defaultdict(set)
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Collect what was noted since the test before; a process that outlives it counts again."""
        for file in self._folder.iterdir():
            if not Path(f"/proc/{file.name}").exists() or file.name == str(os.getpid()):
                file.unlink()
        noting.anew()
        try:
            return (yield)
        finally:
            for file in self._folder.iterdir():
                self._found[item.nodeid].update(file.read_text(encoding="utf-8").splitlines())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long the test took, and whether it passed."""
        self._seconds[report.nodeid] += report.duration
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Keep what is known for the runs that follow."""
        plain = {
            test: [self._seconds[test], sorted(calls)]
            for test, calls in self._found.items()
            if test not in self._failed
        }
        self._folder.with_suffix(".json").write_text(json.dumps(plain), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Record in a process that runs tests, not in one that hands them out."""
    if parent := os.environ.get(noting.FOLDER):
        if not hasattr(config, "workerinput") and config.getoption("numprocesses", 0):
            return
        folder = Path(parent) / os.environ.get("PYTEST_XDIST_WORKER", "main")
        folder.mkdir()
        os.environ[noting.FOLDER] = str(folder)
        config.pluginmanager.register(Recorder(folder))


def known() -> dict[str, Known]:
    """Return what each test of the suites calls; those of a file that changed run again first."""
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    digests = {str(file.relative_to(ROOT)): _digest(file) for file in files_of_tests()}
    changed = [file for file, digest in digests.items() if kept.get(file, {}).get("is") != digest]
    if changed:
        found = _record(changed)
        kept = {file: kept[file] for file in digests if file not in changed}
        kept |= {file: {"is": digests[file], "tests": {}} for file in changed}
        for test, each in found.items():
            kept[test.partition("::")[0]]["tests"][test] = each
        KEPT.write_text(json.dumps(kept), encoding="utf-8")
    return {
        test: Known(seconds, frozenset(calls))
        for file in kept.values()
        for test, (seconds, calls) in file["tests"].items()
    }


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _record(files: list[str]) -> dict[str, Any]:
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="charter-mutants-") as directory:
        copy_instrumented(PACKAGE, Path(directory) / PACKAGE.name)
        calls = Path(directory) / "calls"
        calls.mkdir()
        path = os.pathsep.join([directory, str(ROOT / "tests"), str(ROOT)])
        with KEPT.with_suffix(".txt").open("wb") as said:
            subprocess.run(
                [*(sys.executable, "-m", "pytest", *OPTIONS), "-p", "mutants.calls", *files],
                env={**os.environ, "PYTHONPATH": path, noting.FOLDER: str(calls)},
                stdout=said,
                stderr=said,
                cwd=ROOT,
                check=False,
            )
        found: dict[str, Any] = {}
        for each in calls.glob("*.json"):
            found |= json.loads(each.read_text(encoding="utf-8"))
        return found
