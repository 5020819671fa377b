"""A Collector that never answers, next to one that does: nobody is to notice."""

from collections.abc import Iterator

from benchmarks import receivers, servers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, at_least, at_most, benchmark
from benchmarks.rows.frames import Fleet
from benchmarks.rows.rest import Reading
from benchmarks.workers import Worker
from benchmarks.workloads import emitting

_WORSE = 1.05


@benchmark("outage")
def outage(bench: Bench) -> Iterator[Row]:
    """Measure emitting, reading, frames and handshakes with the Collector black-holed."""
    there = bench.stack.enter_context(receivers.healthy())
    gone = bench.stack.enter_context(receivers.black_hole())
    healthy, dark = (
        bench.stack.enter_context(Worker(emitting.ours, environment=variables))
        for variables in (there, gone)
    )
    events = bench.size(5_000, 1_000)
    rounds = alternate(
        lambda: float(healthy("caller", events)),
        lambda: float(dark("caller", events)),
        bench.rounds,
    )
    yield Row("Collector black-holed: emit", "healthy", "µs", rounds, at_most(_WORSE))
    yield from _service(bench, there, gone)


def _service(bench: Bench, there: dict[str, str], gone: dict[str, str]) -> Iterator[Row]:
    healthy, dark = (
        bench.stack.enter_context(servers.ours(variables)) for variables in (there, gone)
    )
    requests = bench.size(5_000, 1_000)
    readings = [Reading(bench, server) for server in (healthy, dark)]
    rounds = alternate(lambda: readings[0](requests), lambda: readings[1](requests), bench.rounds)
    yield Row("Collector black-holed: GET …/metrics", "healthy", "/s", rounds, at_least(1 / _WORSE))
    fleets = [Fleet(bench, server) for server in (healthy, dark)]
    seconds = bench.size(4, 1)
    rounds = alternate(
        lambda: fleets[0].pace(seconds), lambda: fleets[1].pace(seconds), bench.rounds
    )
    yield Row("Collector black-holed: frames paced", "healthy", "µs", rounds, at_most(_WORSE))
    count = bench.size(1_000, 300)
    rounds = alternate(
        lambda: float(fleets[0].load("shake_hands", count)),
        lambda: float(fleets[1].load("shake_hands", count)),
        bench.rounds,
    )
    yield Row("Collector black-holed: handshakes", "healthy", "/s", rounds, at_least(1 / _WORSE))
