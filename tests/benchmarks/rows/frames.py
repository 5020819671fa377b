"""Robots' frames: flooding, and at the pace of a fleet."""

from collections.abc import Iterator

from benchmarks import machine, receivers, servers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, at_least, at_most, benchmark
from benchmarks.servers import Server
from benchmarks.workers import Worker
from benchmarks.workloads import clients

_ROBOTS = 100
_RATE = 3_000.0


@benchmark("flood", quick=True)
def flood(bench: Bench) -> Iterator[Row]:
    """Measure frames per second of 100 robots that send as fast as they are read."""
    reference, ours = _sides(bench)
    frames = bench.size(100_000, 40_000)
    rounds = alternate(lambda: reference.flood(frames), lambda: ours.flood(frames), bench.rounds)
    yield Row("frames flooding", "bare Litestar", "/s", rounds, at_least(3, so_far=2))
    by_cpu = alternate(
        lambda: frames / reference.cpu("flood", frames),
        lambda: frames / ours.cpu("flood", frames),
        bench.rounds,
    )
    yield Row(
        "frames flooding, per CPU second", "bare Litestar", "/s", by_cpu, at_least(3, so_far=2)
    )


@benchmark("paced", quick=True)
def paced(bench: Bench) -> Iterator[Row]:
    """Measure the server's CPU time for each of 3,000 frames a second."""
    reference, ours = _sides(bench)
    seconds = bench.size(4, 1)
    rounds = alternate(lambda: reference.pace(seconds), lambda: ours.pace(seconds), bench.rounds)
    yield Row("frames paced, server CPU", "bare Litestar", "µs", rounds, at_most(0.5, so_far=0.7))


class Fleet:
    """Robots that are connected to one server."""

    def __init__(self, bench: Bench, server: Server, robots: int = _ROBOTS) -> None:
        self._pid = server.pid
        self.load = bench.stack.enter_context(
            Worker(clients.load, server.address, core=machine.BESIDE)
        )
        self.load("hold", robots)

    def flood(self, frames: int) -> float:
        """Return frames per second."""
        return frames / float(self.load("flood", frames))

    def pace(self, seconds: float) -> float:
        """Return the server's CPU microseconds for each frame."""
        before = machine.cpu_seconds(self._pid)
        sent: int = self.load("pace", _RATE, seconds)
        return (machine.cpu_seconds(self._pid) - before) * 1e6 / sent

    def cpu(self, method: str, *arguments: float) -> float:
        """Return the CPU seconds that the server spends meanwhile."""
        before = machine.cpu_seconds(self._pid)
        self.load(method, *arguments)
        return machine.cpu_seconds(self._pid) - before


def _sides(bench: Bench) -> tuple[Fleet, Fleet]:
    variables = bench.stack.enter_context(receivers.healthy())
    bare = bench.stack.enter_context(servers.bare())
    ours = bench.stack.enter_context(servers.ours(variables))
    return Fleet(bench, bare), Fleet(bench, ours)
