"""Tests of the profiler: it samples stacks and finds their owners."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.profiles.owners import OWNERS, count
from benchmarks.profiles.sampler import sample

EMIT = "Emitter.emit (/app/src/charter_otel/emit.py:96)"
ADD = "Counter.add (/venv/site-packages/opentelemetry/sdk/metrics/_internal/instrument.py:189)"
EXIT = "_GeneratorContextManager.__exit__ (/usr/lib/python3.11/contextlib.py:1)"


def test_a_stack_belongs_to_its_innermost_owner() -> None:
    """Callers count together, whoever calls whom."""
    assert count([f"{EMIT};{ADD} 3", f"{EMIT} 1"]).owners == {
        "OpenTelemetry: metrics": 3,
        "charter-otel": 1,
    }


def test_the_standard_library_works_for_its_caller() -> None:
    """Its functions are still shown by their own names."""
    profile = count([f"{EMIT};{EXIT} 2"])
    assert profile.share("charter-otel") == 1
    assert profile.largest == ("_GeneratorContextManager.__exit__", 1)


@pytest.mark.parametrize(
    "stack",
    [
        f"{ADD};Condition.wait (/usr/lib/python3.11/threading.py:331)",
        "main (/app/tests/benchmarks/receivers.py:3)",
        "<module> (<frozen runpy>:173)",
        f"_fill (/app/tests/benchmarks/workloads/redis_events.py:9);{ADD}",
    ],
    ids=["a waiting thread", "the benchmarks' own work", "nobody's", "preparing"],
)
def test_samples_outside_the_load_do_not_count(stack: str) -> None:
    """Otherwise the shares would be of something else."""
    assert count([f"{stack} 5", f"{EMIT} 1"], without="_fill").owners == {"charter-otel": 1}


def test_each_dependency_at_run_time_has_an_owner() -> None:
    """Of those that may take time in a profile."""
    for module in ("litestar/app.py", "redis/client.py", "requests/api.py", "h11/_state.py"):
        [owner] = count([f"f (/venv/site-packages/{module}:1) 1"]).owners
        assert owner in OWNERS


@pytest.mark.skipif(
    not shutil.which("py-spy", path=str(Path(sys.executable).parent)) or os.geteuid() != 0,
    reason="py-spy: `make bench` installs it, and root may use it",
)
def test_a_process_is_seen_at_work() -> None:
    """The sampler gives stacks in the form that is counted."""
    work = "import structlog\nwhile True: structlog.contextvars.get_contextvars()"
    with subprocess.Popen([sys.executable, "-c", work]) as process:
        try:
            stacks = sample(process.pid, lambda: time.sleep(0.1), 3.0)
        finally:
            process.kill()
    assert any("structlog" in stack for stack in stacks)
