"""The job board: the outcome of each job's runs on this instance, for people and two gauges."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct, field

from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments
from charter_otel.seams import Seam

Outcome = Literal["completed", "failed"]
SkipReason = Literal["late", "overlap", "elsewhere"]
"""Why a slot passed without a run: the registry's ``charter.job.skip_reason``."""


class JobState(Struct):
    """A job on this instance since its start. Times are Unix seconds."""

    job_id: str
    active_runs: int = 0
    last_started_at: float | None = None
    last_ended_at: float | None = None
    last_outcome: Outcome | None = None
    last_duration_ms: float | None = None
    last_error: str | None = None
    """Class name of the exception that ended the last run; None if the run completed."""
    last_success_at: float | None = None
    next_run_at: float | None = None
    """When the next run is due; None if the job is not scheduled."""
    completed_runs: int = 0
    failed_runs: int = 0
    skipped_slots: dict[str, int] = field(default_factory=dict)
    """Slots without a run here, by reason."""


class JobBoard:
    """Keeps the state of each job.

    Args:
        clock: Gives Unix seconds; durations come from a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._jobs: dict[str, JobState] = {}

    def job(self, job_id: str) -> JobState:
        """Return a job's state; a job that is not known yet has not run."""
        return self._jobs.setdefault(job_id, JobState(job_id))

    def jobs(self) -> list[JobState]:
        """Return all jobs."""
        return list(self._jobs.values())

    @contextmanager
    def run(self, job_id: str) -> Iterator[None]:
        """Yield during a run; the errors that it raises pass through."""
        job = self.job(job_id)
        job.active_runs += 1
        job.last_started_at = self._clock()
        started = time.perf_counter()
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            job.active_runs -= 1
            job.last_duration_ms = (time.perf_counter() - started) * 1000
            self._ended(job, error)

    def skipped(self, job_id: str, reason: SkipReason, count: int) -> None:
        """Count slots that passed without a run."""
        skipped = self.job(job_id).skipped_slots
        skipped[reason] = skipped.get(reason, 0) + count

    def observe(self, instruments: Instruments) -> None:
        """Observe the board at each collection of metrics; call it once for each meter."""
        instruments.observe(semconv.CHARTER_JOB_RUN_ACTIVE, self._active)
        instruments.observe(semconv.CHARTER_JOB_LAST_SUCCESS, self._last_success)

    def _ended(self, job: JobState, error: BaseException | None) -> None:
        job.last_ended_at = self._clock()
        job.last_error = None if error is None else type(error).__name__
        if error is None:
            job.last_outcome = "completed"
            job.last_success_at = job.last_ended_at
            job.completed_runs += 1
        else:
            job.last_outcome = "failed"
            job.failed_runs += 1

    def _active(self) -> Iterable[tuple[float, dict[str, str]]]:
        return [(j.active_runs, {semconv.CHARTER_JOB_ID: j.job_id}) for j in self.jobs()]

    def _last_success(self) -> Iterable[tuple[float, dict[str, str]]]:
        return [
            (j.last_success_at, {semconv.CHARTER_JOB_ID: j.job_id})
            for j in self.jobs()
            if j.last_success_at is not None
        ]


_board = Seam(JobBoard())


def get_job_board() -> JobBoard:
    """Return the board of the running app, or of the process."""
    return _board.get()


def set_job_board(board: JobBoard) -> None:
    """Set the board on which jobs record their runs; the service does so at its start."""
    _board.set(board)
