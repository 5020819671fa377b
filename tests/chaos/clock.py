"""Runs a module with a wall clock that steps: by an hour forward on SIGUSR1, back on SIGUSR2.

It takes the place of `time.time` before anything else is imported, so that the whole process,
the libraries too, sees the steps. The monotonic clock goes on.
"""

import runpy
import signal
import sys
import time

HOUR = 3_600_000_000_000


class SteppingClock:
    """The wall clock and how far it was set apart from the machine's."""

    def __init__(self) -> None:
        self._now_ns = time.time_ns
        self._apart = 0

    def time(self) -> float:
        """Return Unix seconds."""
        return self.time_ns() / 1e9

    def time_ns(self) -> int:
        """Return Unix nanoseconds."""
        return self._now_ns() + self._apart

    def step(self, nanoseconds: int) -> None:
        """Set the clock forward or back."""
        self._apart += nanoseconds


def main() -> None:
    """Run the module that the command line names, with the rest of it as its own."""
    clock = SteppingClock()
    time.time, time.time_ns = clock.time, clock.time_ns
    signal.signal(signal.SIGUSR1, lambda *_: clock.step(HOUR))
    signal.signal(signal.SIGUSR2, lambda *_: clock.step(-HOUR))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
