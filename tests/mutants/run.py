"""A fault, and whether the tests notice it."""

import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType
from typing import NamedTuple

import pytest

from mutants.calls import Known, Recorder, read, write
from mutants.mutations import Mutant, mutants, mutated
from mutants.patching import Functions
from mutants.suites import FIFTHS, PACKAGE, ROOT, fifth_of, modules, room_of, suite_of

KEPT = ROOT / "build" / "mutants"
"""Results of a run that the next one need not find again."""

_LAST = "last-{}.txt"
"""Below `KEPT`, for each thread: what the tests of its last fault said."""

SLOWER = 6.0
"""Multiple of the time without a fault that the tests may take; beyond it they hang."""

OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=60")
"""Options of each run of pytest."""


class Result(NamedTuple):
    """The outcome of a fault."""

    module: str
    room: str
    line: int
    name: str
    outcome: str
    """``caught``, ``hung`` or ``survived``."""
    by: str = ""
    """The test that caught it."""


def sample(count: int, seed: int, rooms: frozenset[str] = frozenset()) -> list[tuple[Path, Mutant]]:
    """Return faults, a fifth from each part; the same for the same seed and source."""
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    parts: list[dict[str, list[tuple[Path, Mutant]]]] = [{} for _ in range(len(FIFTHS) + 1)]
    for module in modules():
        room = room_of(module)
        if not rooms or room in rooms:
            found = [(module, mutant) for mutant in mutants(module.read_text(encoding="utf-8"))]
            parts[fifth_of(room)].setdefault(room, []).extend(found)
    for part in parts:
        for each in part.values():
            chance.shuffle(each)
    whole = [list(_in_turn(list(part.values()), count)) for part in parts]
    return list(_in_turn([part[::-1] for part in whole], count))


def _in_turn(queues: list[list[tuple[Path, Mutant]]], count: int) -> Iterator[tuple[Path, Mutant]]:
    while count and any(queues):
        for queue in queues:
            if queue and count:
                count -= 1
                yield queue.pop()


class Judge:
    """Judges faults in forks of a process that has collected the tests.

    Args:
        session: The collected tests.
    """

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._items = {item.nodeid: item for item in session.items}
        self._known: dict[str, dict[str, Known]] = {}
        self._recording = threading.Lock()
        self._functions = Functions(PACKAGE)

    def judge(self, module: Path, mutant: Mutant) -> Result:
        """Run the tests that call the faulty function, the quickest first."""
        with self._recording:
            suites = [self._of(suite) for suite in suite_of(module)]
        known = {test: each for suite in suites for test, each in suite.items()}
        chosen = _able(module, mutant, known)
        relative = module.relative_to(PACKAGE)
        result = Result(relative.as_posix(), room_of(module), mutant.line, mutant.name, "survived")
        if not chosen:
            return result
        tree, source = mutated(module.read_text(encoding="utf-8"), mutant)
        within = 30.0 + SLOWER * sum(known[test].seconds for test in chosen)
        with TemporaryDirectory(prefix="charter-mutant-") as directory:
            copied = Path(directory) / "charter_otel"
            shutil.copytree(PACKAGE, copied)
            (copied / relative).write_text(source, encoding="utf-8")
            changes = self._functions.changes(module, tree)
            if changes is None:
                code = _anew(chosen, directory, within)
            else:
                code = _apart(lambda: self._patched(changes, chosen, directory), within)
        outcome = {0: "survived", None: "hung"}.get(code, "caught")
        return result._replace(outcome=outcome, by=_caught_by() if outcome == "caught" else "")

    def _patched(
        self, changes: dict[FunctionType, CodeType], chosen: list[str], directory: str
    ) -> int:
        for function, code in changes.items():
            function.__code__ = code
        # Programs that a test starts get the fault from the copy.
        os.environ["PYTHONPATH"] = _paths(directory)
        self._session.config.option.maxfail = 1
        return self._play(chosen, self)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say which test noticed, as the summary of a whole run does."""
        if report.failed:
            sys.stdout.write(f"\n{report.longreprtext}\nFAILED {report.nodeid}\n")

    def _play(self, chosen: Sequence[str], plugin: object) -> int:
        self._session.config.pluginmanager.register(plugin)
        items = [self._items[test] for test in chosen if test in self._items]
        hook, session = self._session.config.hook, self._session
        for item, following in zip(items, [*items[1:], None], strict=True):
            hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                break
        return 1 if session.testsfailed else 0

    def _of(self, suite: str) -> dict[str, Known]:
        """Return what each test of a suite calls; run it once without a fault to see."""
        path = KEPT / f"{suite.replace('/', '-')}.json"
        if suite not in self._known:
            if not path.exists():
                tests = [
                    test for test in self._items if test.startswith((f"{suite}::", f"{suite}/"))
                ]
                _apart(lambda: self._record(tests, path), 3600.0)
            self._known[suite] = read(path)
        return self._known[suite]

    def _record(self, tests: list[str], path: Path) -> int:
        recorder = Recorder(PACKAGE)
        self._play(tests, recorder)
        write(recorder.known(), path)
        return 0


def _able(module: Path, mutant: Mutant, known: dict[str, Known]) -> list[str]:
    """Return the tests that can notice a fault: what runs at import concerns the whole module."""
    path = module.relative_to(PACKAGE).as_posix()
    exact, loose = f"{path} {mutant.where}", f"{path} "
    able = [test for test, each in known.items() if exact in each.calls] or [
        test for test, each in known.items() if any(call.startswith(loose) for call in each.calls)
    ]
    return sorted(able or known, key=lambda test: known[test].seconds)


def _paths(directory: str) -> str:
    return os.pathsep.join([directory, str(ROOT / "tests"), str(ROOT)])


def _caught_by() -> str:
    lines = _last().read_text(encoding="utf-8", errors="replace").splitlines()
    failed = (line.partition(" ")[2] for line in lines if line.startswith("FAILED "))
    return next(failed, "").partition(" - ")[0]


def _anew(chosen: list[str], directory: str, within: float) -> int | None:
    """Run pytest in a new process: what runs at import cannot be changed in this one."""
    environment = {
        **os.environ,
        "PYTHONPATH": _paths(directory),
        "MUTANTS_CHOSEN": "\n".join(chosen),
    }
    files = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
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
    return KEPT / _LAST.format(threading.get_native_id())


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
