"""`make mutants`: how many small faults the tests notice, room by room."""

import json
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mutants.mutations import Mutant, mutants
from mutants.run import KEPT, OPTIONS, Judge, Result, sample
from mutants.suites import PACKAGE, suite_of

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
"""A line each: module, the fault, and behind # why it changes nothing that anybody could see."""

RESULTS = KEPT / "results.json"


def main() -> int:
    """Judge COUNT faults (100) of ROOMS (all) from SEED (1), JOBS (2) at a time.

    AGAIN=1 judges again those that survived the last run.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    results = _again() if os.environ.get("AGAIN") else []
    count, seed = int(os.environ.get("COUNT", "100")), int(os.environ.get("SEED", "1"))
    faults = _survivors(results) or sample(count, seed, _rooms())
    suites = dict.fromkeys(suite for module, _ in faults for suite in suite_of(module))
    loop = _Loop(results, faults)
    code = int(pytest.main([*OPTIONS, "--capture=no", *suites], plugins=[loop]))
    _say(_table(results))
    return code


class _Loop:
    """Plugin that judges faults where pytest would run the tests that it has collected.

    Args:
        results: Gets the results; those of an earlier run are replaced.
        faults: The faults to be judged.
    """

    def __init__(self, results: list[Result], faults: list[tuple[Path, Mutant]]) -> None:
        self._results = results
        self._faults = faults

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge the faults."""
        judge = Judge(session)
        with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
            for result in pool.map(lambda fault: judge.judge(*fault), self._faults):
                self._note(result)
        return True

    def _note(self, result: Result) -> None:
        if result.outcome == "survived":
            _say(f"survived {result.module}:{result.line} {result.name}")
        self._results[:] = [r for r in self._results if _same(r) != _same(result)] + [result]
        RESULTS.write_text(json.dumps(self._results, indent=0), encoding="utf-8")


def _same(result: Result) -> tuple[str, int, str]:
    return result.module, result.line, result.name


def _rooms() -> frozenset[str]:
    return frozenset(filter(None, os.environ.get("ROOMS", "").split(",")))


def _again() -> list[Result]:
    return [Result(*each) for each in json.loads(RESULTS.read_text(encoding="utf-8"))]


def _survivors(results: list[Result]) -> list[tuple[Path, Mutant]]:
    faults = []
    for result in results:
        if result.outcome == "survived":
            module = PACKAGE / result.module
            found = mutants(module.read_text(encoding="utf-8"))
            faults += [(module, mutant) for mutant in found if mutant.name == result.name][:1]
    return faults


def _equivalent() -> frozenset[str]:
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return frozenset(line.partition("  # ")[0] for line in lines if line.strip())


def _table(results: list[Result]) -> str:
    """Return a row for each room; equivalent faults count neither way."""
    known = _equivalent()
    rows = [
        "| room | faults | caught | hung | survived | equivalent | score |",
        "|---|---|---|---|---|---|---|",
    ]
    rooms = sorted({result.room for result in results})
    rows += [_row(room or "(top)", [r for r in results if r.room == room], known) for room in rooms]
    return "\n".join([*rows, _row("**all**", results, known)])


def _row(name: str, results: list[Result], known: frozenset[str]) -> str:
    outcomes = Counter(
        "equivalent"
        if result.outcome == "survived" and f"{result.module}: {result.name}" in known
        else result.outcome
        for result in results
    )
    caught, hung, survived = outcomes["caught"], outcomes["hung"], outcomes["survived"]
    judged = caught + hung + survived
    score = round(100 * (caught + hung) / judged) if judged else 100
    counts = f"{caught} | {hung} | {survived} | {outcomes['equivalent']}"
    return f"| {name} | {len(results)} | {counts} | {score} % |"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
