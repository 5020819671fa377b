"""Lag of the event loop while events are emitted and exported."""

from collections.abc import Iterator

from benchmarks import receivers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, benchmark, more_at_most
from benchmarks.workers import Worker
from benchmarks.workloads import lag as workload

_RATE = 1_000.0


@benchmark("lag")
def lag(bench: Bench) -> Iterator[Row]:
    """Measure the lag at 1,000 events a second with OTLP export."""
    variables = bench.stack.enter_context(receivers.healthy())
    silent = bench.stack.enter_context(Worker(workload.silent))
    ours = bench.stack.enter_context(Worker(workload.ours, environment=variables))
    seconds = bench.size(4, 2)
    rounds = alternate(
        lambda: float(silent("p99", _RATE, seconds)),
        lambda: float(ours("p99", _RATE, seconds)),
        bench.rounds,
    )
    yield Row("event-loop lag p99", "the loop alone", "ms", rounds, more_at_most(1))
