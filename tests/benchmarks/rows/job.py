"""The aggregation job."""

from collections.abc import Iterator

from benchmarks import receivers
from benchmarks.rounds import Rounds, Sample, alternate
from benchmarks.row import Bench, Row, at_least, at_most, benchmark, more_at_most
from benchmarks.rows.redis import rate, server
from benchmarks.workers import Worker
from benchmarks.workloads import jobs

_ENTRIES = 100_000
_BACKLOG = 1_000_000


@benchmark("job", quick=True)
def job(bench: Bench) -> Iterator[Row]:
    """Measure what its events cost a run over 100,000 entries.

    A tenth of a percent cannot be seen by comparing two runs on a shared machine. So the run
    without events is measured, and beside it what the events add to a run: to the run itself, and
    to the process, whose exporters work after it.
    """
    variables = bench.stack.enter_context(receivers.healthy())
    url = bench.stack.enter_context(server()).url
    stored = bench.stack.enter_context(Worker(jobs.job, url, environment=variables))
    stored("fill", _ENTRIES)
    in_memory = bench.stack.enter_context(Worker(jobs.job, environment=variables))
    for where, worker in (("in Redis", stored), ("in memory", in_memory)):
        for name, clock, target in (
            ("the job over 100,000 entries", "", at_most(1.001)),
            ("its CPU time, the export of its events included", "cpu_", at_most(1.02)),
        ):
            without = rate(worker, f"{clock}without_events", _ENTRIES)
            parts = alternate(without, rate(worker, f"{clock}of_events", 0), bench.rounds)
            yield Row(f"{name}, {where}", "without events", "s", _sum(parts), target)


@benchmark("backlog")
def backlog(bench: Bench) -> Iterator[Row]:
    """Measure entries per second over a million that wait, and by how much the process grows."""
    variables = bench.stack.enter_context(receivers.healthy())
    url = bench.stack.enter_context(server()).url
    worker = bench.stack.enter_context(Worker(jobs.job, url, environment=variables))
    worker("fill", _BACKLOG)
    rounds = alternate(rate(worker, "bare", _BACKLOG), rate(worker, "rate", _BACKLOG), bench.rounds)
    yield Row("the job, backlog of 1,000,000", "bare read and decode", "/s", rounds, at_least(0.7))
    grown = [float(worker("growth", _BACKLOG)) for _ in range(bench.rounds)]
    memory = Rounds(Sample((0.0,) * bench.rounds), Sample(tuple(grown)))
    yield Row("growth of memory in it", "none", "MiB", memory, more_at_most(5))


def _sum(parts: Rounds) -> Rounds:
    pairs = zip(parts.reference.values, parts.ours.values, strict=True)
    return Rounds(parts.reference, Sample(tuple(run + events for run, events in pairs)))
