"""10,000 robots that come back at once, to one process in Redis: ``make bench ROWS=storm``."""

from collections.abc import Iterator

from benchmarks import machine, receivers, table
from benchmarks.rounds import Rounds, Sample
from benchmarks.row import Bench, Row, benchmark, more_at_most
from benchmarks.rows.redis import server
from benchmarks.workers import Worker
from benchmarks.workloads import soaking, storming

_WITHIN = 10.0
"""Seconds in which all robots want to be back."""
_EXPORTED = 5.0
"""Seconds for the last events to reach Redis."""


@benchmark("storm")
def storm(bench: Bench) -> Iterator[Row]:
    """Let all robots go and come back; each waits for its turn, and its handshake is timed."""
    variables = bench.stack.enter_context(receivers.healthy())
    redis = bench.stack.enter_context(server())
    variables |= {
        "CHARTER_EVENT_STREAM": redis.url,
        "CHARTER_MAX_HANDSHAKES_PER_SECOND": "1000000",
    }
    service = bench.stack.enter_context(Worker(soaking.service, environment=variables))
    idle = bench.stack.enter_context(Worker(soaking.idle))
    fleet = bench.stack.enter_context(
        Worker(storming.fleet, service("address"), core=machine.BESIDE)
    )
    robots = bench.size(10_000, 1_000)
    fleet("come", robots, _WITHIN)
    fleet("go")
    service("look")
    idle("lag_p99")
    came: storming.Came = fleet("come", robots, _WITHIN)
    state: soaking.State = service("look")
    table.say(f"  {came.robots:,} robots were back in {came.seconds:.1f} s")
    wrong = robots - came.robots + storming.lost_or_twice(redis.url, 2 * robots, _EXPORTED)
    yield _row("storm: robots refused, events lost or twice", "", wrong, 0)
    yield _row("storm: handshake p99", "ms", came.p99 * 1e3, 1_000)
    lags = Rounds(Sample((float(idle("lag_p99")),) * 2), Sample((state.lag_p99,) * 2))
    yield Row(
        "storm: event-loop lag p99", "an idle loop on the same core", "ms", lags, more_at_most(100)
    )
    yield _row("storm: longest pause of the garbage collector", "ms", state.pause, 5)


def _row(name: str, unit: str, value: float, bound: float) -> Row:
    rounds = Rounds(Sample((0.0, 0.0)), Sample((value, value)))
    return Row(name, "none", unit, rounds, more_at_most(bound))
