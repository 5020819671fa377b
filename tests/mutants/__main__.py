"""`make mutants`: how many small faults the tests notice, room by room."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest

from mutants.calls import Known, known
from mutants.run import OPTIONS, Judge, Result
from mutants.sampling import Fault, sample
from mutants.suites import OUTPUT, PACKAGE, part_of

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
"""A line each: module, the fault, and behind # why it changes nothing that anybody could see."""

EQUIVALENT_FAULTS = frozenset(
    line.partition("  # ")[0] for line in EQUIVALENT.read_text(encoding="utf-8").splitlines()
)

RESULTS = OUTPUT / "results.json"

PAUSE = OUTPUT / "pause"
"""While this file exists, no other fault is judged."""


def main() -> int:
    """Judge COUNT faults (100) of ROOMS (all) from SEED (1), JOBS (2) at a time.

    What an earlier run judged stands; with AGAIN=1 those that survived are judged again.
    """
    OUTPUT.mkdir(parents=True, exist_ok=True)
    rooms = frozenset(filter(None, os.environ.get("ROOMS", "").split(",")))
    count, seed = int(os.environ.get("COUNT", "100")), int(os.environ.get("SEED", "1"))
    faults = sample(count, seed, rooms)
    results = _kept()
    again = bool(os.environ.get("AGAIN"))
    left = [fault for fault in faults if _open(results.get(_key(fault)), again=again)]
    code = 0
    if left:
        calls = known()
        files = dict.fromkeys(test.partition("::")[0] for test in calls)
        loop = _Loop(results, left, calls)
        code = int(pytest.main([*OPTIONS, "--capture=no", *files], plugins=[loop]))
    found = [results[_key(fault)] for fault in faults if _key(fault) in results]
    _say("".join(_told(result) for result in found if _counts(result) == "survived"))
    _say(_table("room", found, lambda result: result.room or "(top)"))
    _say(_table("part", found, lambda result: part_of(result.room)))
    return code


class _Loop:
    """Plugin that judges faults where pytest would run the tests that it has collected.

    Args:
        results: Gets the results; those of an earlier run are replaced.
        faults: The faults to be judged.
        calls: What each test calls.
    """

    def __init__(
        self, results: dict[str, Result], faults: list[Fault], calls: dict[str, Known]
    ) -> None:
        self._results = results
        self._faults = faults
        self._calls = calls

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge the faults."""
        judge = Judge(session, self._calls)
        with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
            judged = [pool.submit(_judged, judge, fault) for fault in self._faults]
            for result in map(Future.result, as_completed(judged)):
                _say(f"{result.outcome} in {result.seconds} s: {_told(result)}")
                if result.outcome != "late":
                    self._results[f"{result.module}: {result.name}"] = result
                RESULTS.write_text(json.dumps(list(self._results.values()), indent=0))
        return True


def _judged(judge: Judge, fault: Fault) -> Result:
    while PAUSE.exists():
        time.sleep(1)
    return judge.judge(*fault)


def _told(result: Result) -> str:
    return f"{result.module}:{result.line} {result.name} [{result.by or result.tests}]\n"


def _key(fault: Fault) -> str:
    module, mutant = fault
    return f"{module.relative_to(PACKAGE).as_posix()}: {mutant.name}"


def _kept() -> dict[str, Result]:
    plain = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    return {
        f"{result.module}: {result.name}": result for result in (Result(*each) for each in plain)
    }


def _open(result: Result | None, *, again: bool) -> bool:
    return result is None or (again and _counts(result) == "survived")


def _counts(result: Result) -> str:
    """Return how a fault counts: the equivalent ones neither way."""
    equivalent = f"{result.module}: {result.name}" in EQUIVALENT_FAULTS
    return "equivalent" if equivalent and result.outcome == "survived" else result.outcome


def _table(of: str, results: list[Result], name: Callable[[Result], str]) -> str:
    """Return a row for each name, and one for all."""
    rows = [
        f"| {of} | faults | caught | hung | survived | equivalent | score |",
        "|---|---|---|---|---|---|---|",
    ]
    names = sorted(set(map(name, results)))
    rows += [_row(each, [r for r in results if name(r) == each]) for each in names]
    return "\n".join([*rows, _row("**all**", results), ""])


def _row(name: str, results: Iterable[Result]) -> str:
    outcomes = Counter(_counts(result) for result in results)
    caught, hung, survived = outcomes["caught"], outcomes["hung"], outcomes["survived"]
    judged = caught + hung + survived
    score = round(100 * (caught + hung) / judged) if judged else 100
    counts = f"{caught} | {hung} | {survived} | {outcomes['equivalent']}"
    return f"| {name} | {outcomes.total()} | {counts} | {score} % |"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
