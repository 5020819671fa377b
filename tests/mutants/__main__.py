"""`make mutants`: how many small faults the tests notice, room by room."""

import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants.run import Result, judge, sample

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
"""A line each: module, the fault, and behind # why it changes nothing that anybody could see."""


def main() -> int:
    """Judge COUNT faults (100) of ROOMS (all) from SEED (1), JOBS (2) at a time."""
    count, seed = int(os.environ.get("COUNT", "100")), int(os.environ.get("SEED", "1"))
    rooms = frozenset(filter(None, os.environ.get("ROOMS", "").split(",")))
    known = _equivalent()
    chosen = [
        (module, mutant)
        for module, mutant in sample(count, seed, rooms)
        if f"{module.name}: {mutant.name}" not in known
    ]
    with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        results = []
        for result in pool.map(lambda each: judge(*each), chosen):
            results.append(result)
            if result.outcome == "survived":
                _say(f"survived {result.module}:{result.mutant.line} {result.mutant.name}")
    _say(_table(results))
    return 0


def _equivalent() -> frozenset[str]:
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return frozenset(line.partition("  # ")[0] for line in lines if line.strip())


def _table(results: list[Result]) -> str:
    rows = ["| room | faults | caught | survived | score |", "|---|---|---|---|---|"]
    rooms = sorted({result.room for result in results})
    rows += [_row(room or "(top)", [r for r in results if r.room == room]) for room in rooms]
    return "\n".join([*rows, _row("**all**", results)])


def _row(name: str, results: list[Result]) -> str:
    outcomes = Counter(result.outcome for result in results)
    survived = outcomes["survived"]
    noticed = len(results) - survived
    score = round(100 * noticed / len(results)) if results else 100
    return f"| {name} | {len(results)} | {noticed} | {survived} | {score} % |"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
