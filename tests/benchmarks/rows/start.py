"""From the start of the process until it is imported, and until it answers."""

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks import receivers, servers
from benchmarks.rounds import alternate
from benchmarks.row import Bench, Row, benchmark, more_at_most


@benchmark("start", quick=True)
def start(bench: Bench) -> Iterator[Row]:
    """Measure the import and the start of the service next to Litestar's."""
    imports = alternate(
        lambda: _import("litestar"), lambda: _import("charter_otel.service.app"), bench.rounds
    )
    yield Row("import", "litestar", "s", imports, more_at_most(0.4))
    variables = bench.stack.enter_context(receivers.healthy())
    rounds = alternate(_bare, lambda: _ours(variables), bench.rounds)
    yield Row("start to ready", "bare Litestar", "s", rounds, more_at_most(0.4))


def _import(module: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - started


def _bare() -> float:
    with servers.bare() as server:
        return server.ready


def _ours(variables: dict[str, str]) -> float:
    with servers.ours(variables) as server:
        return server.ready
