"""Events into Redis and out of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import receivers
from benchmarks.rounds import Side, alternate
from benchmarks.row import Bench, Row, at_least, benchmark
from benchmarks.workers import Worker
from benchmarks.workloads import redis_events
from support.redis import RedisServer


@benchmark("redis", quick=True)
def redis(bench: Bench) -> Iterator[Row]:
    """Measure events per second: emitted, published, handled."""
    url = bench.stack.enter_context(server()).url
    ours = bench.stack.enter_context(Worker(redis_events.ours, url))
    plain = bench.stack.enter_context(Worker(redis_events.plain, url))
    few, many = bench.size(1_000, 300), bench.size(8_000, 2_000)
    emit = rate(ours, "emit", many)
    for name, method, target in (
        ("awaited XADD", "awaited", at_least(8, so_far=3)),
        ("four round trips each", "origin", at_least(25, so_far=12)),
    ):
        rounds = alternate(rate(plain, method, few), emit, bench.rounds)
        yield Row("emit to Redis", name, "/s", rounds, target)
    rounds = alternate(rate(plain, "pipeline", many), rate(ours, "publish", many), bench.rounds)
    yield Row("Redis publish", "raw pipeline", "/s", rounds, at_least(0.9))
    yield from _consume(bench, url, ours, plain, many)


def _consume(bench: Bench, url: str, ours: Worker, plain: Worker, events: int) -> Iterator[Row]:
    """Measure handling next to a raw loop, and next to one that does as much by bare calls."""
    variables = bench.stack.enter_context(receivers.healthy())
    exporting = bench.stack.enter_context(Worker(redis_events.ours, url, environment=variables))
    for name, side, environment, so_far in (
        ("Redis consume", ours, None, 0.14),
        ("Redis consume, spans exported", exporting, variables, 0.03),
    ):
        handled = rate(side, "consume", events)
        rounds = alternate(rate(plain, "consume", events), handled, bench.rounds)
        yield Row(name, "raw XREADGROUP + XACK", "/s", rounds, at_least(0.5, so_far))
        if environment:
            at_once = rate(side, "consume_batches", events)
            rounds = alternate(rate(plain, "consume", events), at_once, bench.rounds)
            target = at_least(0.3, so_far=0.07)
            yield Row(f"{name}, batch handler", "raw XREADGROUP + XACK", "/s", rounds, target)
        with Worker(redis_events.traced, url, environment=environment) as traced:
            rounds = alternate(rate(traced, "consume", events), handled, bench.rounds)
        yield Row(name, "raw, bare span and metrics", "/s", rounds, at_least(0.9))


def rate(worker: Worker, method: str, events: int) -> Side:
    """Return a side that runs a method over so many events."""
    return lambda: float(worker(method, events))


@contextmanager
def server() -> Iterator[RedisServer]:
    """Run a Redis that keeps nothing on disk."""
    with TemporaryDirectory(prefix="bench") as directory:
        running = RedisServer(Path(directory), options=("--appendonly", "no"))
        running.start()
        try:
            yield running
        finally:
            running.stop()
