"""Which test calls which function: the tests that can notice a fault in it."""

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import pytest


class Known(NamedTuple):
    """Duration and calls of a test that passed without a fault."""

    seconds: float
    calls: frozenset[str]
    """`telemetry/fleet.py Fleet.take`, as many as it called in its own process."""


class Recorder:
    """Plugin that notes which functions of the package each passing test calls."""

    def __init__(self, package: Path) -> None:
        self._package = f"{package}/"
        self._called: set[CodeType] = set()
        self._found: dict[str, set[str]] = defaultdict(set)
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Trace the test with its fixtures, in its threads too."""
        self._called.clear()
        sys.settrace(self._trace)
        threading.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            self._found[item.nodeid] |= {
                f"{code.co_filename.removeprefix(self._package)} {name_of(code)}"
                for code in list(self._called)
                if code.co_filename.startswith(self._package)
            }

    def _trace(self, frame: FrameType, _event: str, _arg: object) -> None:
        self._called.add(frame.f_code)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long the test took, and whether it passed."""
        self._seconds[report.nodeid] += report.duration
        if not report.passed:
            self._failed.add(report.nodeid)

    def known(self) -> dict[str, Known]:
        """Return what each test that passed is known to call."""
        return {
            test: Known(self._seconds[test], frozenset(calls))
            for test, calls in self._found.items()
            if test not in self._failed
        }


def name_of(code: CodeType) -> str:
    """Return `Class.function`, without what is only inside."""
    return code.co_qualname.replace(".<locals>", "").partition(".<")[0]


def write(known: dict[str, Known], path: Path) -> None:
    """Keep what is known for the next run."""
    plain = {test: [each.seconds, sorted(each.calls)] for test, each in known.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain), encoding="utf-8")


def read(path: Path) -> dict[str, Known]:
    """Return what an earlier run found."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return {test: Known(seconds, frozenset(calls)) for test, (seconds, calls) in plain.items()}
