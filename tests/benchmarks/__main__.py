"""`python -m benchmarks`: runs the rows and prints the table."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import machine, rows
from benchmarks.row import BENCHMARKS, Benchmark
from benchmarks.run import run


def main() -> int:
    """Run what the command line or ``ROWS`` and ``QUICK`` ask for; non-zero for a failed smoke."""
    arguments = _arguments()
    machine.raise_open_file_limit()
    machine.pin(machine.BESIDE)
    return run(
        _chosen(arguments.rows, quick=arguments.quick),
        rounds=arguments.rounds,
        quick=arguments.quick,
        command=" ".join(["make bench", *_given(arguments)]),
        report=Path("build/bench.json"),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--rows", default=os.environ.get("ROWS", ""), help=", ".join(rows.ORDER))
    parser.add_argument("--rounds", type=int, help="rounds that count: 5, or 3 of the smoke test")
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    parser.add_argument("--quick", action="store_true", default=quick, help="the smoke test")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 5)
    arguments.rows = [name for name in arguments.rows.split(",") if name]
    if unknown := set(arguments.rows) - BENCHMARKS.keys():
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(rows.ORDER)}")
    return arguments


def _chosen(names: list[str], *, quick: bool) -> list[Benchmark]:
    if names:
        return [BENCHMARKS[name] for name in names]
    every = [BENCHMARKS[name] for name in rows.ORDER]
    return [b for b in every if not b.only_by_name and (b.quick or not quick)]


def _given(arguments: argparse.Namespace) -> list[str]:
    named = [f"ROWS={','.join(arguments.rows)}"] if arguments.rows else []
    return named + (["QUICK=1"] if arguments.quick else [])


if __name__ == "__main__":
    sys.exit(main())
