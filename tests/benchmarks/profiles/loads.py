"""The profiled loads: our side of each row that is about CPU time and misses its target."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks import machine, receivers, servers
from benchmarks.row import Bench
from benchmarks.rows import redis, rest
from benchmarks.workers import Worker
from benchmarks.workloads import clients, emitting, redis_events


class Load(NamedTuple):
    """A process, and what keeps it busy."""

    pid: int
    work: Callable[[], object]
    """Makes it work, and returns when the work is done."""
    preparing: str = ""
    """The function that prepares the work in the same process, which is not part of it."""


Open = Callable[[ExitStack], Load]
"""Starts what a load needs; the stack ends it."""


def emit(stack: ExitStack) -> Load:
    """Emit events; nothing else."""
    variables = stack.enter_context(receivers.healthy())
    worker = stack.enter_context(Worker(emitting.ours, environment=variables))
    return Load(worker.pid, lambda: worker("whole", 1_000))


def emit_to_redis(stack: ExitStack) -> Load:
    """Emit events that go to Redis; nothing is exported."""
    return _with_redis(stack, "emit")


def consume(stack: ExitStack) -> Load:
    """Handle events that wait in Redis; nothing is exported."""
    return _with_redis(stack, "consume")


def consume_exported(stack: ExitStack) -> Load:
    """Handle events that wait in Redis, each in a span that is exported."""
    return _with_redis(stack, "consume", stack.enter_context(receivers.healthy()))


def get(stack: ExitStack) -> Load:
    """Read robots' metrics through REST."""
    server = stack.enter_context(servers.ours(stack.enter_context(receivers.healthy())))
    reading = rest.Reading(Bench(stack=stack), server)
    return Load(server.pid, lambda: reading(1_000))


def handshakes(stack: ExitStack) -> Load:
    """Come and go as robots."""
    server = stack.enter_context(servers.ours(stack.enter_context(receivers.healthy())))
    robots = stack.enter_context(Worker(clients.load, server.address, core=machine.BESIDE))
    return Load(server.pid, lambda: robots("shake_hands", 300))


def _with_redis(stack: ExitStack, method: str, environment: dict[str, str] | None = None) -> Load:
    url = stack.enter_context(redis.server()).url
    worker = stack.enter_context(Worker(redis_events.ours, url, environment=environment))
    return Load(worker.pid, lambda: worker(method, 4_000), "_fill")


class Named(NamedTuple):
    """A load under the name of its row."""

    title: str
    open: Open


LOADS = {
    "emit": Named("emit", emit),
    "redis": Named("emit to Redis", emit_to_redis),
    "consume": Named("Redis consume", consume),
    "exported": Named("Redis consume, spans exported", consume_exported),
    "get": Named("GET …/metrics", get),
    "handshakes": Named("handshakes", handshakes),
}
"""All of them, by the name that ``ROWS`` takes."""
