"""One event: all five sinks, next to the bare calls and to logfire."""

from collections.abc import Iterator
from functools import partial

from benchmarks import receivers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, at_most, benchmark
from benchmarks.workers import Worker
from benchmarks.workloads import emitting


@benchmark("emit", quick=True)
def emit(bench: Bench) -> Iterator[Row]:
    """Measure what the caller waits for, and what the whole process spends, export included."""
    variables = bench.stack.enter_context(receivers.healthy())
    ours = bench.stack.enter_context(Worker(emitting.ours, environment=variables))
    bare = bench.stack.enter_context(Worker(emitting.bare, environment=variables))
    events = bench.size(5_000, 1_000)
    for name, method, target in (
        ("emit", "caller", at_most(1.25)),
        ("emit, CPU with export", "whole", at_most(0.65, so_far=0.9)),
    ):
        rounds = alternate(
            partial(_time, bare, method, events), partial(_time, ours, method, events), bench.rounds
        )
        yield Row(name, "the bare calls", "µs", rounds, target)


@benchmark("logfire", quick=True)
def logfire(bench: Bench) -> Iterator[Row]:
    """Measure the caller's side next to logfire's."""
    variables = bench.stack.enter_context(receivers.healthy())
    ours = bench.stack.enter_context(Worker(emitting.ours, environment=variables))
    other = bench.stack.enter_context(Worker(emitting.logfire, environment=variables))
    events = bench.size(5_000, 1_000)
    rounds = alternate(
        partial(_time, other, "caller", events),
        partial(_time, ours, "caller", events),
        bench.rounds,
    )
    yield Row("emit, caller's side", "logfire.info", "µs", rounds, at_most(0.5, so_far=0.6))


def _time(worker: Worker, method: str, events: int) -> float:
    microseconds: float = worker(method, events)
    return microseconds
