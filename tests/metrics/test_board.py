"""The job board: what people and two gauges see of the jobs."""

import pytest

from charter_otel.metrics.board import JobBoard
from charter_otel.testing import Capture

JOB = {"charter.job.id": "a_job"}


def test_a_run_is_on_the_board(charter_capture: Capture) -> None:
    """Start, end, outcome and duration are of the last run; the counts are of all."""
    clock = charter_capture.clock
    board = JobBoard(clock=lambda: clock.seconds)
    start = clock.seconds
    with board.run("a_job"):
        job = board.job("a_job")
        assert (job.active_runs, job.last_ended_at) == (1, None)
        clock.advance(3)
    assert (job.last_started_at, job.last_ended_at) == (start, start + 3)
    assert (job.last_outcome, job.last_error, job.last_success_at) == ("completed", None, start + 3)
    assert (job.active_runs, job.completed_runs, job.failed_runs) == (0, 1, 0)
    assert job.last_duration_ms is not None
    assert 0 <= job.last_duration_ms < 1_000


def test_a_failed_run_keeps_the_last_success(charter_capture: Capture) -> None:
    """The error's class is told until a run completes; the last success stays known."""
    clock = charter_capture.clock
    board = JobBoard(clock=lambda: clock.seconds)
    with board.run("a_job"):
        pass
    success = clock.seconds
    clock.advance(30)
    with pytest.raises(OSError, match="gone"), board.run("a_job"):
        raise OSError("gone")
    job = board.job("a_job")
    assert (job.last_outcome, job.last_error, job.failed_runs) == ("failed", "OSError", 1)
    assert (job.last_success_at, job.last_ended_at) == (success, success + 30)
    with board.run("a_job"):
        pass
    assert job.last_error is None


def test_gauges_show_the_board(charter_capture: Capture) -> None:
    """Active runs and last success are read at collection, so that they cannot drift."""
    clock = charter_capture.clock
    board = JobBoard(clock=lambda: clock.seconds)
    board.observe(charter_capture.instrumentation.instruments)
    with board.run("a_job"):
        metrics = charter_capture.metrics()
        assert [tuple(p)[:2] for p in metrics["charter.job.run.active"]] == [(JOB, 1)]
        assert "charter.job.last_success" not in metrics
    metrics = charter_capture.metrics()
    assert [tuple(p)[:2] for p in metrics["charter.job.run.active"]] == [(JOB, 0)]
    assert [tuple(p)[:2] for p in metrics["charter.job.last_success"]] == [(JOB, clock.seconds)]
