"""The schedule, by a clock that the test moves."""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from charter_otel.metrics.board import JobBoard
from charter_otel.metrics.jobs import JOB_ID, aggregate_mission_metrics
from charter_otel.metrics.locks import SlotLock
from charter_otel.metrics.schedule import Schedule
from charter_otel.testing import Capture
from support.fake_time import EPOCH, FakeTime, settle
from support.polling import eventually

INTERVAL = 30.0
HOUR = 3_600.0

caller = contextvars.ContextVar("caller", default="nobody")


class Runs:
    """A job that notes when it runs, and takes as long as the test wants."""

    def __init__(self, time: FakeTime) -> None:
        self._time = time
        self.times: list[float] = []
        self.callers: list[str] = []
        self.seconds = 0.0
        self.error: Exception | None = None

    async def __call__(self) -> None:
        """Run."""
        self.times.append(self._time.wall - EPOCH)
        self.callers.append(caller.get())
        caller.set("a run before")
        if self.seconds:
            await self._time.sleep(self.seconds)
        if self.error is not None:
            raise self.error


class FirstCome(SlotLock):
    """A lock that instances in one process share."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.error: Exception | None = None

    async def acquire(self, job_id: str, slot: int, interval: float) -> bool:
        """Return the slot to the first who asks."""
        del job_id, interval
        if self.error is not None:
            raise self.error
        first = slot not in self.taken
        self.taken.add(slot)
        return first


class SlowOnce(FirstCome):
    """A lock that answers 35 s late when it is first asked."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self._time = time
        self._slow = True

    async def acquire(self, job_id: str, slot: int, interval: float) -> bool:
        """Answer, in time or not."""
        if self._slow:
            self._slow = False
            await self._time.sleep(35)
        return await super().acquire(job_id, slot, interval)


@asynccontextmanager
async def scheduled(
    time: FakeTime, job: Callable[[], Any], **options: Any
) -> AsyncIterator[Schedule]:
    """Run a schedule until the block ends."""
    schedule = Schedule("a_job", job, INTERVAL, clock=time.clock, sleep=time.sleep, **options)
    await schedule.start()
    await settle()
    try:
        yield schedule
    finally:
        await schedule.stop(grace=0)


@pytest.fixture
def time() -> FakeTime:
    """Return clocks that show the beginning of a slot."""
    return FakeTime()


@pytest.fixture
def runs(time: FakeTime) -> Runs:
    """Return a job that notes its runs."""
    return Runs(time)


async def test_the_first_run_is_at_once_and_the_next_ones_on_the_slots(
    time: FakeTime, runs: Runs
) -> None:
    """Started at 12 s past a slot, it runs at 12 s, then with each slot."""
    time.wall += 12
    async with scheduled(time, runs):
        for _ in range(8):
            await time.advance(10)
    assert runs.times == [12, 32, 62, 92]


async def test_the_board_has_the_next_run(time: FakeTime, runs: Runs, job_board: JobBoard) -> None:
    """Next run is a slot's beginning, and nothing once the schedule has stopped."""
    time.wall += 12
    async with scheduled(time, runs):
        assert job_board.job("a_job").next_run_at == EPOCH + 30
        await time.advance(18)
        assert job_board.job("a_job").next_run_at == EPOCH + 60
    assert job_board.job("a_job").next_run_at is None


async def test_the_job_is_on_the_board_as_soon_as_it_is_scheduled(
    time: FakeTime, runs: Runs, job_board: JobBoard
) -> None:
    """Before the loop's first turn, the board already has the job, and that it runs at once."""
    schedule = Schedule("a_job", runs, INTERVAL, clock=time.clock, sleep=time.sleep)
    await schedule.start()
    assert [(job.job_id, job.next_run_at) for job in job_board.jobs()] == [("a_job", EPOCH)]
    await schedule.stop(grace=0)


async def test_a_long_run_skips_the_slots_that_it_covers(
    time: FakeTime, runs: Runs, job_board: JobBoard, charter_capture: Capture
) -> None:
    """Runs never overlap: a run of 70 s skips two slots, and the third one runs on time."""
    runs.seconds = 70
    instruments = charter_capture.instrumentation.instruments
    async with scheduled(time, runs, instruments=instruments):
        for _ in range(10):
            await time.advance(10)
    assert runs.times == [0, 90]
    assert job_board.job("a_job").skipped_slots == {"overlap": 2}
    (point,) = charter_capture.metrics()["charter.job.run.skipped"]
    assert point.value == 2
    assert point.attributes == {
        "charter.job.id": "a_job",
        "charter.job.skip_reason": "overlap",
    }


async def test_slots_that_passed_unnoticed_are_late(
    time: FakeTime, runs: Runs, job_board: JobBoard
) -> None:
    """After a stall of 100 s one run comes, in the slot of now; the others are counted."""
    async with scheduled(time, runs):
        await time.advance(100)
        await time.advance(20)
    assert runs.times == [0, 100, 120]
    assert job_board.job("a_job").skipped_slots == {"late": 2}


@pytest.mark.parametrize("jump", [HOUR, -HOUR, HOUR + 7, -HOUR - 7, -61.0])
async def test_a_jump_of_the_clock_does_not_stop_the_runs(
    time: FakeTime, runs: Runs, jump: float
) -> None:
    """An hour forth or back, runs come at most one interval apart, and never twice in a slot."""
    async with scheduled(time, runs):
        await time.advance(30)
        await time.advance(10)
        time.wall += jump
        before = len(runs.times)
        for _ in range(12):
            await time.advance(10)
    assert 3 <= len(runs.times) - before <= 5
    slots = [(EPOCH + seconds) // INTERVAL for seconds in runs.times[before:]]
    assert len(set(slots)) == len(slots)


async def test_a_clock_set_back_by_a_moment_repeats_no_slot(time: FakeTime, runs: Runs) -> None:
    """After a correction of the clock the slot that has run is not run again."""
    async with scheduled(time, runs):
        await time.advance(30)
        time.wall -= 0.5
        await time.advance(30)
        await time.advance(0.5)
    assert runs.times == [0, 30, 60]


async def test_a_clock_set_back_during_a_run_repeats_no_slot(time: FakeTime, runs: Runs) -> None:
    """A run that seems to end before it began is still the run of its slot."""
    async with scheduled(time, runs):
        runs.seconds = 1
        await time.advance(30)
        time.wall -= 2
        for _ in range(33):
            await time.advance(1)
    assert runs.times == [0, 30, 60]


async def test_sleep_that_ends_early_runs_nothing_early(time: FakeTime, runs: Runs) -> None:
    """When the monotonic clock is ahead of the wall clock, the run waits for the slot."""
    async with scheduled(time, runs):
        time.wall -= 0.2
        await time.advance(30)
        assert runs.times == [0]
        await time.advance(0.2)
    assert runs.times == pytest.approx([0, 30])


async def test_a_failed_run_is_logged_and_the_loop_goes_on(
    time: FakeTime, runs: Runs, charter_capture: Capture
) -> None:
    """The log has the exception; the next slot runs."""
    runs.error = OSError("the disk is gone")
    async with scheduled(time, runs):
        await time.advance(30)
    assert runs.times == [0, 30]
    failed = [line for line in charter_capture.lines if line["event"] == "job run failed"]
    assert [line["exception.message"] for line in failed] == ["the disk is gone"] * 2


async def test_each_run_has_an_empty_context(time: FakeTime, runs: Runs) -> None:
    """Neither who starts the schedule nor an earlier run is the parent of a run."""
    caller.set("a request")
    async with scheduled(time, runs):
        await time.advance(30)
    assert runs.callers == ["nobody", "nobody"]


async def test_of_several_instances_one_runs_each_slot(
    time: FakeTime, runs: Runs, job_board: JobBoard
) -> None:
    """Three schedules share a lock: each slot runs once, and the others count it."""
    lock = FirstCome()
    async with (
        scheduled(time, runs, lock=lock),
        scheduled(time, runs, lock=lock),
        scheduled(time, runs, lock=lock),
    ):
        for _ in range(3):
            await time.advance(30)
    assert runs.times == [0, 30, 60, 90]
    assert job_board.job("a_job").skipped_slots == {"elsewhere": 8}


async def test_a_slot_that_begins_while_the_lock_is_asked_is_asked_for_too(
    time: FakeTime, runs: Runs, job_board: JobBoard
) -> None:
    """A slow answer about a slot of another instance covers no slot; only a run does."""
    lock = SlowOnce(time)
    lock.taken.add(int(EPOCH // INTERVAL))
    async with scheduled(time, runs, lock=lock):
        await time.advance(40)
    assert runs.times == [40]
    assert job_board.job("a_job").skipped_slots == {"elsewhere": 1}


async def test_a_lock_that_fails_lets_the_run_go(
    time: FakeTime, runs: Runs, charter_capture: Capture
) -> None:
    """An unreachable lock must not silence the job: it runs, and the log says without what."""
    lock = FirstCome()
    lock.error = ConnectionError("nobody there")
    async with scheduled(time, runs, lock=lock):
        await time.advance(30)
    assert runs.times == [0, 30]
    warnings = [line for line in charter_capture.lines if line["level"] == "warning"]
    assert "slot lock" in warnings[0]["event"]


async def test_stop_lets_a_run_end(time: FakeTime, runs: Runs) -> None:
    """A run that ends within the grace is not cancelled, and no other one begins."""
    runs.seconds = 10
    schedule = Schedule("a_job", runs, INTERVAL, clock=time.clock, sleep=time.sleep)
    await schedule.start()
    await settle()
    stopping = asyncio.create_task(schedule.stop(grace=10))
    await settle()
    assert not stopping.done()
    await time.advance(10)
    await stopping
    assert runs.times == [0]


async def test_stop_cancels_a_run_that_takes_too_long(charter_capture: Capture) -> None:
    """After the grace the run is cancelled, and stop waits for its end."""
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    schedule = Schedule("a_job", endless, INTERVAL)
    await schedule.start()
    await settle()
    await schedule.stop(grace=0.01)
    assert ended.is_set()
    assert any(line["event"] == "job run cancelled" for line in charter_capture.lines)


async def test_stop_ends_a_schedule_whose_cancellation_the_lock_swallows() -> None:
    """`asyncio.wait_for`, which redis-py sends with, may swallow one in Python 3.11."""
    asked = asyncio.Event()

    class Swallowing(FirstCome):
        async def acquire(self, job_id: str, slot: int, interval: float) -> bool:
            if not asked.is_set():
                asked.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            return await super().acquire(job_id, slot, interval)

    async def job() -> None:
        """Do nothing."""

    schedule = Schedule("a_job", job, INTERVAL, lock=Swallowing())
    await schedule.start()
    await asked.wait()
    loop = schedule._loop
    assert loop is not None
    async with asyncio.timeout(5):
        await schedule.stop()
    assert loop.done()


async def test_a_schedule_starts_once_and_stops_as_often_as_one_likes(
    time: FakeTime, runs: Runs
) -> None:
    """Starting twice is an error that says so; stopping twice is none; it may start again."""
    async with scheduled(time, runs) as schedule:
        with pytest.raises(RuntimeError, match="stop it first"):
            await schedule.start()
        await schedule.stop()
        await schedule.stop()
        await schedule.start()
        await settle()
    assert runs.times == [0, 0]


async def test_the_job_runs_on_real_clocks(charter_capture: Capture) -> None:
    """With the real clocks and the real job, pairs of events come by themselves."""
    schedule = Schedule(JOB_ID, aggregate_mission_metrics, 0.1)
    await schedule.start()
    try:
        await eventually(lambda: len(charter_capture.events) >= 6, "three runs")
    finally:
        await schedule.stop()
    types = [event.type.partition("_")[2] for event in charter_capture.events]
    assert types == ["started", "completed"] * (len(types) // 2)
    traces = {event.meta["correlation_id"] for event in charter_capture.events}
    assert len(traces) == len(types) // 2
