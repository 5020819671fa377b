"""The kernel's figures of a process: CPU time and memory; and the cores that it may use."""

import contextlib
import os
import resource
import statistics
import time
from pathlib import Path

MEASURED = 0
"""The core of what is measured."""
BESIDE = 1
"""The core of clients and receivers."""


def pin(core: int, pid: int = 0) -> None:
    """Bind a process (0: this one) to a core, where there is more than one."""
    with contextlib.suppress(OSError, AttributeError):
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process and its children, to the nanosecond."""
    return _cpu_nanoseconds(pid) / 1e9


def _cpu_nanoseconds(pid: int) -> int:
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used += int((task / "schedstat").read_text().split()[0])
            children = (task / "children").read_text().split()
            used += sum(_cpu_nanoseconds(int(child)) for child in children)
    return used


def private_bytes(pid: int) -> int:
    """Return the memory that only this process uses (USS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def raise_open_file_limit(wanted: int = 65_536) -> None:
    """Allow as many open files as the system lets us, up to what is wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def loop_milliseconds() -> float:
    """Return the milliseconds of a million additions in a loop, by which two machines compare."""
    return statistics.median(_loop() for _ in range(9)) * 1e3


def _loop() -> float:
    started, total = time.perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return time.perf_counter() - started
