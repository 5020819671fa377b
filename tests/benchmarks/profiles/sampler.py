"""Samples of a running process's stacks, by py-spy."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import machine

RATE = 250
"""Samples a second."""


def sample(pid: int, work: Callable[[], object], seconds: float) -> Sequence[str]:
    """Let a process work for some seconds, and return the stacks that it was seen in.

    Args:
        pid: The process.
        work: Gives it something to do, and returns when that is done.
        seconds: How long.

    Raises:
        RuntimeError: py-spy may not look into the process.
    """
    with TemporaryDirectory(prefix="profile") as directory:
        output = Path(directory) / "stacks"
        recording = subprocess.Popen(
            [
                *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid)),
                *("--format", "raw", "--full-filenames", "--rate", str(RATE)),
                *("--duration", "3600", "--output", str(output)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        machine.pin(machine.BESIDE, recording.pid)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            work()
        recording.send_signal(signal.SIGINT)
        _, said = recording.communicate()
        if recording.returncode or not output.exists():
            raise RuntimeError(
                f"py-spy cannot look into the process; run it as root or allow ptrace: {said!r}"
            )
        return output.read_text(encoding="utf-8").splitlines()
