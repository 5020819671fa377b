"""10,000 robots for ten minutes on one process: ``make bench ROWS=soak``."""

import os
import time
from collections.abc import Iterator

from benchmarks import machine, receivers, table
from benchmarks.rounds import Rounds, Sample
from benchmarks.row import Bench, Row, benchmark, more_at_most
from benchmarks.workers import Worker
from benchmarks.workloads import clients, soaking

_ROBOTS = int(os.environ.get("SOAK_ROBOTS", "10000"))
_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
_PERIOD = 5.0
"""Seconds between two frames of a robot."""
_SETTLED = 60.0
"""Seconds after which memory grows no more."""


@benchmark("soak", only_by_name=True)
def soak(bench: Bench) -> Iterator[Row]:
    """Hold the fleet, and tell disconnects, growth of memory and lag of the loop."""
    variables = bench.stack.enter_context(receivers.healthy())
    service = bench.stack.enter_context(Worker(soaking.service, environment=variables))
    fleet = bench.stack.enter_context(Worker(clients.load, service("address"), core=machine.BESIDE))
    fleet("hold", _ROBOTS)
    service("look")
    states = list(_minutes(fleet, service))
    settled = [state for after, state in states if after >= min(_SETTLED, _SECONDS / 2)]
    growth = settled[-1].mib - settled[0].mib
    yield _row("soak: unexpected disconnects", "robots", [float(fleet("missing"))], 0)
    yield _row("soak: growth of memory", "MiB", [growth], 5)
    yield _row("soak: event-loop lag p99", "ms", [state.lag_p99 for state in settled], 20)


def _minutes(fleet: Worker, service: Worker) -> Iterator[tuple[float, soaking.State]]:
    """Run the fleet, ten looks at the service or one a minute."""
    piece = min(60.0, _SECONDS / 10)
    started = time.monotonic()
    while (after := time.monotonic() - started) < _SECONDS:
        fleet("pace", _ROBOTS / _PERIOD, piece)
        state: soaking.State = service("look")
        table.say(f"  {after + piece:5.0f} s: {state.mib:,.1f} MiB, lag p99 {state.lag_p99:.2f} ms")
        yield after + piece, state


def _row(name: str, unit: str, values: list[float], bound: float) -> Row:
    ours = Sample(tuple(values * 2 if len(values) == 1 else values))
    rounds = Rounds(Sample((0.0,) * len(ours.values)), ours)
    return Row(name, "none", unit, rounds, more_at_most(bound))
