"""Coming and going of robots: handshakes, latencies, and the memory of those who only stay."""

import time
from collections.abc import Callable, Iterator

from benchmarks import machine, receivers, servers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, at_least, at_most, benchmark, more_at_most
from benchmarks.rows.redis import server
from benchmarks.servers import Server
from benchmarks.workers import Worker
from benchmarks.workloads import clients

_IDLE = 5_000
_EXPORTED = 2.0
"""Seconds after which the events and spans of a burst have left the process."""


@benchmark("handshakes", quick=True)
def handshakes(bench: Bench) -> Iterator[Row]:
    """Measure handshakes per second, and what one robot waits for."""
    variables = bench.stack.enter_context(receivers.healthy())
    bare = _load(bench, bench.stack.enter_context(servers.bare()))
    ours = _load(bench, bench.stack.enter_context(servers.ours(variables)))
    count = bench.size(1_000, 300)
    rounds = alternate(
        lambda: bare("shake_hands", count), lambda: ours("shake_hands", count), bench.rounds
    )
    yield Row("handshakes", "bare Litestar", "/s", rounds, at_least(0.6, so_far=0.24))
    for which in ("connect", "disconnect"):
        latency = alternate(
            _p50(bare, which, count // 4), _p50(ours, which, count // 4), bench.rounds
        )
        yield Row(f"{which} latency p50", "bare Litestar", "ms", latency, more_at_most(0.15))


@benchmark("bursts", quick=True)
def bursts(bench: Bench) -> Iterator[Row]:
    """Measure the server's CPU time for a connection that comes and goes, 20 at once."""
    exported = bench.stack.enter_context(receivers.healthy())
    url = bench.stack.enter_context(server()).url
    bare = Burst(bench, bench.stack.enter_context(servers.bare()))
    for name, variables, target in (
        ("no export", {}, at_most(1, so_far=1.7)),
        ("export", exported, at_most(1.6, so_far=3.3)),
        ("export and Redis", exported | {"CHARTER_EVENT_STREAM": url}, at_most(1.8, so_far=5)),
    ):
        with servers.ours(variables) as running:
            ours = Burst(bench, running)
            rounds = alternate(bare.microseconds, ours.microseconds, bench.rounds)
        yield Row(f"a connection in a burst, CPU, {name}", "bare Litestar", "µs", rounds, target)


@benchmark("memory")
def memory(bench: Bench) -> Iterator[Row]:
    """Measure the memory of each of 5,000 connections on which nothing happens."""
    variables = bench.stack.enter_context(receivers.healthy())

    def bare() -> float:
        with servers.bare() as server:
            return _kib_per_connection(server)

    def ours() -> float:
        with servers.ours(variables) as server:
            return _kib_per_connection(server)

    rounds = alternate(bare, ours, bench.rounds, warm_up=False)
    yield Row("memory per idle connection", "bare Litestar", "KiB", rounds, at_most(1, so_far=1.3))


class Burst:
    """Robots that come to one server and go."""

    def __init__(self, bench: Bench, server: Server) -> None:
        self._pid, self._load = server.pid, _load(bench, server)
        self._count = bench.size(1_000, 300)

    def microseconds(self) -> float:
        """Return the server's CPU microseconds for each connection, less what it uses idle."""
        begun = time.monotonic()
        before = machine.cpu_seconds(self._pid)
        self._load("shake_hands", self._count)
        time.sleep(_EXPORTED)
        ended, used = time.monotonic(), machine.cpu_seconds(self._pid)
        time.sleep(_EXPORTED)
        idle = (machine.cpu_seconds(self._pid) - used) / (time.monotonic() - ended)
        return (used - before - idle * (ended - begun)) * 1e6 / self._count


def _load(bench: Bench, server: Server) -> Worker:
    return bench.stack.enter_context(Worker(clients.load, server.address, core=machine.BESIDE))


def _p50(load: Worker, which: str, count: int) -> Callable[[], float]:
    return lambda: float(getattr(load("latencies", count), which)) * 1e3


def _kib_per_connection(server: Server) -> float:
    with Worker(clients.load, server.address, core=machine.BESIDE) as load:
        load("shake_hands", 100)
        before = machine.private_bytes(server.pid)
        load("hold", _IDLE)
        return (machine.private_bytes(server.pid) - before) / _IDLE / 1024
