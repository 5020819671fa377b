"""A job of a program's own, which runs as the aggregation job does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction, isroutine

from charter_otel.metrics.jobs import JOB_ID, run_job

LONGEST_NAME = 128
"""Characters of a job's name at most."""


@dataclass(frozen=True)
class Job:
    """A function that runs once in each slot, on one of all instances.

    A run emits the three events of the Charter with the job's name as ``job_id``, in one trace; it
    is on the job board and in the metrics of jobs. For example::

        CharterPlugin(jobs=[Job("nightly", tidy_up, every=86_400)])

    Args:
        name: The job's id. Keep names few: each has series of its own.
        run: A coroutine function; an integer that it returns is ``entries_processed``.
        every: Seconds between two runs, counted from the Unix epoch.

    Raises:
        ValueError: The name or the interval is wrong.
        TypeError: ``run`` is not a coroutine function.
    """

    name: str
    run: Callable[[], Awaitable[object]]
    every: float = 3600.0

    def __post_init__(self) -> None:
        if not (self.name.isprintable() and 0 < len(self.name) <= LONGEST_NAME):
            raise ValueError(f"{self.name!r:.200} is not a job's name: use 1 to 128 characters")
        if self.name == JOB_ID:
            raise ValueError(f"{JOB_ID} is the mission job; give this one another name")
        if not 0 < self.every < float("inf"):
            raise ValueError(f"job {self.name}: every={self.every!r} is not a number of seconds")
        # A function shows whether it is a coroutine function; other callables may not.
        if isroutine(self.run) and not iscoroutinefunction(self.run):
            raise TypeError(f"job {self.name}: {self.run!r} is not a coroutine function")

    async def __call__(self) -> int:
        """Run once, with the run's events, span and metrics."""
        return await run_job(self.name, self.run)
