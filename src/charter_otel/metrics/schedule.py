"""The slot loop: runs a job once in each interval of a shared clock, never twice at once."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from charter_otel.aio import describe, end
from charter_otel.metrics.board import JobBoard, SkipReason, get_job_board
from charter_otel.metrics.locks import NoLock, SlotLock
from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments
from charter_otel.seams import empty_context

GRACE = 2.0
"""Seconds that `Schedule.stop` gives a run that is under way before it is cancelled."""

log = structlog.get_logger(__name__)


class Schedule:
    """Runs a job once in each slot.

    Slots are intervals of the lock's clock, counted from the Unix epoch: with 30 seconds, at :00
    and :30. So instances agree on them, whatever their own clocks show. The first run is at once,
    in the slot that `start` falls into, so that a deployment shows within a second whether the job
    works. With a shared lock it happens only if no other instance has run that slot.

    Runs do not overlap. A slot that begins during a run is skipped (``overlap``). So is a slot that
    is over before the loop reaches it (``late``), or that the lock gives to another instance
    (``elsewhere``). A run that fails is logged, and the loop goes on.

    Between slots the loop sleeps by the monotonic clock. If the clock of the slots is set forward
    or far back, the next run still comes when it was due. Its slot is the one that the clock then
    shows. If it is set back by up to two intervals, the next run waits for a new slot, so that no
    slot is repeated.

    Args:
        job_id: The job's id in metrics and on the board.
        job: The coroutine function to run; each run is a task of its own, in an empty context.
        interval: Seconds between two runs.
        lock: Decides which instance runs a slot.
        board: Where next runs and skipped slots are recorded.
        instruments: Where skipped slots are counted.
        clock: Gives Unix seconds; used if the lock has no clock.
        sleep: Sleeps for seconds of the monotonic clock.
    """

    def __init__(
        self,
        job_id: str,
        job: Callable[[], Coroutine[Any, Any, object]],
        interval: float,
        *,
        lock: SlotLock | None = None,
        board: JobBoard | None = None,
        instruments: Instruments | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._job_id = job_id
        self._job = job
        self._interval = interval
        self._lock = lock or NoLock()
        self._board = board or get_job_board()
        self._instruments = instruments
        self._clock = clock
        self._sleep = sleep
        self._apart: float | None = None
        """Seconds by which the lock's clock was ahead of the monotonic one; None if unknown."""
        self._loop: asyncio.Task[None] | None = None
        self._run: asyncio.Task[object] | None = None

    async def start(self) -> None:
        """Start the loop.

        Raises:
            RuntimeError: The loop has started already.
        """
        if self._loop is not None:
            raise RuntimeError(f"the schedule of {self._job_id} runs already; stop it first")
        self._board.job(self._job_id).next_run_at = self._clock()
        self._loop = asyncio.create_task(
            self._go_on(),
            name=f"charter-schedule-{self._job_id}",
            # The caller's span is not the parent of the runs.
            context=empty_context(),
        )

    async def stop(self, grace: float = GRACE) -> None:
        """Start no more runs; give a run under way ``grace`` seconds, then cancel it."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        await end(loop, time.monotonic())
        self._board.job(self._job_id).next_run_at = None
        if self._run is not None:
            await _end(self._run, grace)

    async def _go_on(self) -> None:
        done: int | None = None
        while True:
            slot = await self._next_slot(done)
            self._skip("late", slot - done - 1 if done is not None else 0)
            if not await self._is_ours(slot):
                self._skip("elsewhere", 1)
                done = slot
                continue
            await self._run_once()
            now = await self._slot()
            self._skip("overlap", now - slot)
            # A clock that was set back by a moment must not show the same slot again.
            done = now if _is_due(now, slot) else slot

    async def _next_slot(self, done: int | None) -> int:
        """Wait for a slot after ``done``, and return it; the first slot comes at once."""
        while True:
            now = await self._now()
            slot = math.floor(now / self._interval)
            if done is None or _is_due(slot, done):
                return slot
            begin = (slot + 1) * self._interval
            self._board.job(self._job_id).next_run_at = begin
            await self._sleep(max(0.0, begin - now))

    async def _is_ours(self, slot: int) -> bool:
        try:
            return await self._lock.acquire(self._job_id, slot, self._interval)
        except Exception as error:  # noqa: BLE001 - whatever the lock raises, the job goes on
            log.warning(
                "the slot lock does not answer; running without it",
                job_id=self._job_id,
                error=describe(error),
            )
            return True

    async def _run_once(self) -> None:
        run = asyncio.create_task(self._job(), name=f"charter-job-{self._job_id}")
        run.add_done_callback(self._report)
        self._run = run
        await asyncio.wait({run})

    def _report(self, run: asyncio.Task[object]) -> None:
        if run.cancelled():
            log.warning("job run cancelled", job_id=self._job_id)
        elif (error := run.exception()) is not None:
            # A traceback does not help with a lost connection; the failed event has the text.
            unexpected = None if isinstance(error, ConnectionError) else error
            log.error("job run failed", job_id=self._job_id, exc_info=unexpected)

    async def _slot(self) -> int:
        return math.floor(await self._now() / self._interval)

    async def _now(self) -> float:
        """Return Unix seconds of the lock's clock; while it does not answer, extrapolate them."""
        try:
            shared = await self._lock.now()
        except Exception as error:  # noqa: BLE001 - as in `_is_ours`, which logs it
            log.debug("the clock of the slots does not answer", error=describe(error))
        else:
            self._apart = None if shared is None else shared - time.monotonic()
        return self._clock() if self._apart is None else time.monotonic() + self._apart

    def _skip(self, reason: SkipReason, count: int) -> None:
        if count <= 0:
            return
        self._board.skipped(self._job_id, reason, count)
        if self._instruments is not None:
            attributes = {
                semconv.CHARTER_JOB_ID: self._job_id,
                semconv.CHARTER_JOB_SKIP_REASON: reason,
            }
            self._instruments.job_skipped.add(count, attributes)


async def _end(run: asyncio.Task[object], grace: float) -> None:
    """Wait ``grace`` seconds for a run, then cancel it, and wait for its end."""
    try:
        await asyncio.wait({run}, timeout=grace)
    finally:
        run.cancel()
        await asyncio.wait({run})


def _is_due(slot: int, done: int) -> bool:
    """Return whether a slot is after ``done``, or so far before it that the clock was set back."""
    return slot > done or slot < done - 1
