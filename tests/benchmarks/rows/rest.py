"""`GET …/metrics` with span, measurement, log line and event, next to Litestar without them."""

from collections.abc import Iterator

from benchmarks import machine, receivers, servers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, Target, at_least, benchmark
from benchmarks.servers import Server
from benchmarks.workers import Worker
from benchmarks.workloads import clients


@benchmark("get", quick=True)
def get(bench: Bench) -> Iterator[Row]:
    """Measure requests per second of wall clock, and of the server's own CPU time."""
    variables = bench.stack.enter_context(receivers.healthy())
    ours = bench.stack.enter_context(servers.ours(variables))
    bare = bench.stack.enter_context(servers.bare())
    yield from compare(bench, "bare Litestar", bare, ours, at_least(0.65, so_far=0.24))
    traced = bench.stack.enter_context(servers.traced(variables))
    yield from compare(
        bench, "Litestar's plugin, no event", traced, ours, at_least(1.3, so_far=0.8)
    )
    # What the first row could reach, were there nothing but the SDK.
    called = bench.stack.enter_context(servers.called(variables))
    yield from compare(
        bench, "bare Litestar and the bare calls", called, ours, at_least(1, so_far=0.91)
    )


def compare(
    bench: Bench, name: str, reference: Server, ours: Server, target: Target
) -> Iterator[Row]:
    """Measure two servers."""
    requests = bench.size(5_000, 1_000)
    sides = [Reading(bench, server) for server in (reference, ours)]
    rounds = alternate(lambda: sides[0](requests), lambda: sides[1](requests), bench.rounds)
    yield Row("GET …/metrics", name, "/s", rounds, target)
    by_cpu = alternate(
        lambda: sides[0].by_cpu(requests), lambda: sides[1].by_cpu(requests), bench.rounds
    )
    yield Row("GET …/metrics, per CPU second", name, "/s", by_cpu, target)


class Reading:
    """Readers of one server."""

    def __init__(self, bench: Bench, server: Server) -> None:
        self._pid = server.pid
        self._load = bench.stack.enter_context(
            Worker(clients.load, server.address, core=machine.BESIDE)
        )
        self._load("make_known")

    def __call__(self, requests: int) -> float:
        """Return requests per second."""
        rate: float = self._load("get", requests)
        return rate

    def by_cpu(self, requests: int) -> float:
        """Return requests per second of the server's CPU time."""
        before = machine.cpu_seconds(self._pid)
        self._load("get", requests)
        return requests / (machine.cpu_seconds(self._pid) - before)
