"""Two workers on one port next to one: by CPU time, as the clients need a core too."""

from collections.abc import Iterator

from benchmarks import receivers, servers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, at_most, benchmark
from benchmarks.rows.frames import Fleet
from benchmarks.rows.handshakes import Burst
from benchmarks.rows.redis import server


@benchmark("workers")
def workers(bench: Bench) -> Iterator[Row]:
    """Measure the CPU time of all workers for each frame, and for each connection."""
    variables = bench.stack.enter_context(receivers.healthy())
    # In one Redis the robots of one side would supersede those of the other.
    alone, both = (
        variables | {"CHARTER_EVENT_STREAM": bench.stack.enter_context(server()).url}
        for _ in range(2)
    )
    one = bench.stack.enter_context(servers.ours(alone))
    with servers.ours(both, "--workers", "2") as two:
        bursts = [Burst(bench, side) for side in (one, two)]
        rounds = alternate(bursts[0].microseconds, bursts[1].microseconds, bench.rounds)
        yield Row(
            "two workers: a connection in a burst, CPU", "one worker", "µs", rounds, at_most(1.1)
        )
        seconds = bench.size(4, 1)
        fleets = [Fleet(bench, side) for side in (one, two)]
        rounds = alternate(
            lambda: fleets[0].pace(seconds), lambda: fleets[1].pace(seconds), bench.rounds
        )
        yield Row(
            "two workers: frames paced, CPU", "one worker", "µs", rounds, at_most(1.1, so_far=1.3)
        )
