"""Runs benchmarks, prints their rows, and gives the smoke test's verdict."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import machine, table
from benchmarks.row import Bench, Benchmark, Row


def run(
    benchmarks: Sequence[Benchmark], *, rounds: int, quick: bool, command: str, report: Path
) -> int:
    """Run benchmarks one after another; one that cannot run ends it with its error.

    Args:
        benchmarks: What is measured.
        rounds: How many rounds count.
        quick: Whether it is the smoke test: small rounds, and a row that is far worse fails.
        command: What the report names as its origin.
        report: Where all rows go as JSON.

    Returns:
        The exit status: non-zero for a smoke test that failed.
    """
    table.say(table.HEAD)
    started = time.monotonic()
    measured: list[Row] = []
    for benchmark in benchmarks:
        rows = _measure(benchmark, rounds, quick=quick)
        if quick and not _passes(rows):
            # Whatever else ran on the machine may have passed; what is worse stays so.
            table.say(f"{benchmark.name} once more, for {_worse(rows)}")
            rows = _measure(benchmark, rounds, quick=quick)
        measured += rows
        table.write_json(report, measured, command)
    reached = sum(row.reached for row in measured)
    seconds = time.monotonic() - started
    table.say(
        f"\n{reached} of {len(measured)} rows reached, {seconds:.0f} s, see {report}; "
        f"a million additions in a loop take {machine.loop_milliseconds():.0f} ms here"
    )
    if not quick or _passes(measured):
        return 0
    table.say(f"more than twice as bad as the target, or as last measured: {_worse(measured)}")
    return 1


def _measure(benchmark: Benchmark, rounds: int, *, quick: bool) -> list[Row]:
    rows: list[Row] = []
    with ExitStack() as stack:
        for row in benchmark.measure(Bench(rounds=rounds, quick=quick, stack=stack)):
            rows.append(row)
            table.say(table.line(row))
    return rows


def _passes(rows: Sequence[Row]) -> bool:
    return all(row.tolerable for row in rows)


def _worse(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row.name} ({row.reference})" for row in rows if not row.tolerable)
