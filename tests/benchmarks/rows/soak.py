"""10,000 robots for ten minutes on one process: ``make bench ROWS=soak``."""

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import machine, receivers, table
from benchmarks.rounds import Rounds, Sample
from benchmarks.row import Bench, Row, benchmark, more_at_most
from benchmarks.workers import Worker
from benchmarks.workloads import soaking

_ROBOTS = int(os.environ.get("SOAK_ROBOTS", "10000"))
_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
_PERIOD = 5.0
"""Seconds between two frames of a robot."""
_SETTLED = 60.0
"""Seconds after which memory grows no more."""


class Piece(NamedTuple):
    """A part of the run, a minute long or a tenth of it."""

    until: float
    """Seconds since the beginning."""
    frames: int
    state: soaking.State
    idle_lag_p99: float
    """Milliseconds, of a loop on the same core with nothing else to do."""
    service: float
    """Cores that the service used."""
    fleet: float
    """Cores that the robots used."""

    def __str__(self) -> str:
        """Show it as a line."""
        return (
            f"  {self.until:5.0f} s: {self.frames:,} frames, {self.state.mib:,.1f} MiB, "
            f"lag p99 {self.state.lag_p99:.2f} ms, of an idle loop {self.idle_lag_p99:.2f} ms, "
            f"CPU of the service {self.service:.0%}, of the robots {self.fleet:.0%}"
        )


@benchmark("soak", only_by_name=True)
def soak(bench: Bench) -> Iterator[Row]:
    """Hold the fleet, and tell disconnects, growth of memory and lag of the loop."""
    variables = bench.stack.enter_context(receivers.healthy())
    service = bench.stack.enter_context(Worker(soaking.service, environment=variables))
    idle = bench.stack.enter_context(Worker(soaking.idle))
    robots = Worker(soaking.fleet, service("address"), _PERIOD, core=machine.BESIDE)
    fleet = bench.stack.enter_context(robots)
    started = time.monotonic()
    table.say(f"  {fleet('hold', _ROBOTS):,} robots in {time.monotonic() - started:.0f} s")
    pieces = list(_pieces(fleet, service, idle))
    settled = [piece for piece in pieces if piece.until >= min(_SETTLED, _SECONDS / 2)]
    growth = settled[-1].state.mib - settled[0].state.mib
    yield _row("soak: unexpected disconnects", "robots", float(fleet("missing")), 0)
    yield _row("soak: growth of memory", "MiB", growth, 5)
    lags = Rounds(
        Sample(tuple(piece.idle_lag_p99 for piece in settled)),
        Sample(tuple(piece.state.lag_p99 for piece in settled)),
    )
    name = "soak: event-loop lag p99, minute by minute"
    yield Row(name, "an idle loop on the same core", "ms", lags, more_at_most(20))


def _pieces(fleet: Worker, service: Worker, idle: Worker) -> Iterator[Piece]:
    """Run the fleet and look at the service ten times, or once a minute."""
    length = min(60.0, _SECONDS / 10)
    for worker, look in ((fleet, "sent"), (service, "look"), (idle, "lag_p99")):
        worker(look)
    started = begun = time.monotonic()
    while begun - started < _SECONDS:
        used = [machine.cpu_seconds(worker.pid) for worker in (service, fleet)]
        time.sleep(length)
        frames: int = fleet("sent")
        state: soaking.State = service("look")
        now = time.monotonic()
        cores = [
            (machine.cpu_seconds(worker.pid) - before) / (now - begun)
            for worker, before in zip((service, fleet), used, strict=True)
        ]
        piece = Piece(now - started, frames, state, float(idle("lag_p99")), *cores)
        table.say(str(piece))
        yield piece
        begun = now


def _row(name: str, unit: str, value: float, bound: float) -> Row:
    rounds = Rounds(Sample((0.0, 0.0)), Sample((value, value)))
    return Row(name, "none", unit, rounds, more_at_most(bound))
