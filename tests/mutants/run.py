"""A fault, and whether the tests notice it."""

import gc
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType
from typing import NamedTuple

import pytest

from mutants.calls import Known
from mutants.mutations import Mutant, mutated
from mutants.patching import Functions
from mutants.suites import OUTPUT, PACKAGE, ROOT, mirrors, room_of
from support import polling

_LAST = "last-{}.txt"
"""Below `OUTPUT`, for each thread: what the tests of its last fault said."""

STEPS = (0.1, 1.0)
"""Seconds: quicker tests come first, each step whole."""

LONGEST = float(os.environ.get("LONGEST", "30"))
"""Seconds that the tests of a fault take without it; the slowest beyond are not run."""

QUICK = 0.5
"""Seconds; a longer test that caught a fault is run again without it."""

SLOWER = 12.0
"""Multiple of the time without a fault after which the tests have come to nothing."""

PATIENCE = 4.0
"""Multiple of that time, and a second more, for which a test waits for a condition: not 20 s."""

OPTIONS = (
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--timeout=40",
    "--timeout-method=thread",
)
"""Options of each run of pytest."""


class Result(NamedTuple):
    """The outcome of a fault."""

    module: str
    room: str
    line: int
    name: str
    outcome: str
    """``caught``, ``hung`` or ``survived``; ``late`` if the machine was too busy to tell."""
    by: str = ""
    """The test that caught it, or hung."""
    tests: int = 0
    """Number of tests that call the function."""
    seconds: float = 0.0


class Judge:
    """Judges faults in forks of a process that has collected the tests.

    Args:
        session: The collected tests.
        known: What each of them calls.
    """

    def __init__(self, session: pytest.Session, known: Mapping[str, Known]) -> None:
        self._session = session
        self._items = {item.nodeid: item for item in session.items}
        self._known = known
        self._functions = Functions(PACKAGE)
        gc.collect()
        gc.freeze()  # else each module's end looks through all tests that were collected

    def judge(self, module: Path, mutant: Mutant) -> Result:
        """Run the tests that call the faulty function: the quickest first, then the room's own."""
        began = time.monotonic()
        chosen = chosen_tests(module, mutant, self._known)
        relative = module.relative_to(PACKAGE)
        tree, source = mutated(module.read_text(encoding="utf-8"), mutant)
        with TemporaryDirectory(prefix="charter-mutant-", ignore_cleanup_errors=True) as directory:
            copied = Path(directory) / PACKAGE.name
            shutil.copytree(PACKAGE, copied)
            (copied / relative).write_text(source, encoding="utf-8")
            changes = self._functions.changes(module, tree)
            outcome, by = self._outcome(chosen, changes, directory)
            while by in chosen and not self._passes(by):
                chosen = chosen[chosen.index(by) + 1 :]
                outcome, by = self._outcome(chosen, changes, directory)
        return Result(
            relative.as_posix(),
            room_of(module),
            mutant.line,
            mutant.name,
            outcome,
            by,
            tests=len(chosen),
            seconds=round(time.monotonic() - began, 1),
        )

    def _outcome(
        self, chosen: list[str], changes: dict[FunctionType, CodeType] | None, directory: str
    ) -> tuple[str, str]:
        """Return the outcome of a fault, and the test that caught it."""
        if not chosen:
            return "survived", ""
        within = 30.0 + SLOWER * sum(self._known[test].seconds for test in chosen)
        if changes is None:
            code = _anew(chosen, directory, within)
        else:
            code = _apart(lambda: self._patched(changes, chosen, directory), within)
        if code is None:
            return "late", ""
        return _noticed() if code else ("survived", "")

    def _passes(self, test: str) -> bool:
        """Return whether a test passes without the fault: a busy machine fails one that waits."""
        if self._known[test].seconds < QUICK:
            return True
        return _apart(lambda: self._play([test]), 60.0 + SLOWER * self._known[test].seconds) == 0

    def _patched(
        self, changes: dict[FunctionType, CodeType], chosen: list[str], directory: str
    ) -> int:
        for function, code in changes.items():
            function.__code__ = code
        # Programs that a test starts get the fault from the copy.
        os.environ.update(_variables(directory))
        tempfile.tempdir = directory
        self._session.config.option.maxfail = 1
        return self._play(chosen)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which test runs: one that hangs ends the process."""
        say_running(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say which test noticed, as the summary of a whole run does."""
        if report.failed:
            sys.stdout.write(f"\n{report.longreprtext}\nFAILED {report.nodeid}\n")

    def _play(self, chosen: Sequence[str]) -> int:
        self._session.config.pluginmanager.register(self)
        items = [self._items[test] for test in chosen if test in self._items]
        hook, session = self._session.config.hook, self._session
        for item, following in zip(items, [*items[1:], None], strict=True):
            _hurry(item, 1.0 + self._known[item.nodeid].seconds)
            hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                break
        return 1 if session.testsfailed else 0


def chosen_tests(module: Path, mutant: Mutant, known: Mapping[str, Known]) -> list[str]:
    """Return the tests that can notice a fault: what runs at import concerns the whole module."""
    path = module.relative_to(PACKAGE).as_posix()
    exact, loose = f"{path} {mutant.where}", f"{path} "
    able = [test for test, each in known.items() if exact in each.calls] or [
        test for test, each in known.items() if any(call.startswith(loose) for call in each.calls)
    ]
    chosen, seconds = [], 0.0
    for test in sorted(able, key=lambda test: (not mirrors(module, test), known[test].seconds)):
        if seconds + known[test].seconds < LONGEST:
            chosen.append(test)
            seconds += known[test].seconds

    def turn(test: str) -> tuple[int, bool, int]:
        # A test that calls little else is about the function. Those of a file stay together: it
        # may start a service for all of them.
        return bisect(STEPS, known[test].seconds), not mirrors(module, test), narrow[_file(test)]

    narrow: dict[str, int] = {}
    for number, test in enumerate(sorted(chosen, key=lambda test: len(known[test].calls))):
        narrow.setdefault(_file(test), number)
    return sorted(chosen, key=turn)


def _file(test: str) -> str:
    return test.partition("::")[0]


def _hurry(item: pytest.Item, seconds: float) -> None:
    """Let a test wait for no longer than its time without a fault gives reason to."""
    for wait in (polling.wait_until, polling.eventually):
        wait.__defaults__ = (PATIENCE * seconds,)
    item.add_marker(pytest.mark.timeout(SLOWER * seconds), append=False)


def _variables(directory: str) -> dict[str, str]:
    path = os.pathsep.join([directory, str(ROOT / "tests"), str(ROOT)])
    return {"PYTHONPATH": path, "TMPDIR": directory}


def say_running(test: str) -> None:
    """Say that a test begins."""
    sys.stdout.write(f"\nRUNNING {test}\n")
    sys.stdout.flush()


def _noticed() -> tuple[str, str]:
    """Return how the last fault was noticed, and by which test."""
    running = ""
    for line in _last().read_text(encoding="utf-8", errors="replace").splitlines():
        word, _, test = line.partition(" ")
        if word == "FAILED":
            return "caught", test.partition(" - ")[0]
        if word == "RUNNING":
            running = test
    return ("hung", running) if running else ("caught", "")


def _anew(chosen: list[str], directory: str, within: float) -> int | None:
    """Run pytest in a new process: what runs at import cannot be changed in this one."""
    named = {"MUTANTS_CHOSEN": "\n".join(chosen)}
    environment = {**os.environ, **_variables(directory), **named}
    files = list(dict.fromkeys(map(_file, chosen)))
    command = [sys.executable, "-m", "pytest", "-x", *OPTIONS, "-p", "mutants.chosen", *files]

    def become() -> int:
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted

    return _apart(become, within)


def _apart(run: Callable[[], int], within: float) -> int | None:
    """Run in a fork, with all that it starts, and return its exit code; None: it hung."""
    last = _last()
    child = os.fork()
    if not child:
        _become(run, last)
    until = time.monotonic() + within
    code = None
    while code is None and time.monotonic() < until:
        time.sleep(0.02)
        pid, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if pid else None
    with suppress(ProcessLookupError):  # also the servers that a test left behind
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return code


def _last() -> Path:
    return OUTPUT / _LAST.format(threading.get_native_id())


def _become(run: Callable[[], int], last: Path) -> None:
    code = 1
    try:
        os.setsid()
        quiet = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = run()
    except BaseException:  # noqa: BLE001 - nobody else would tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
