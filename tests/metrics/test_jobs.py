"""The job: its events, its trace, its failures, and that every entry counts once."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from charter_otel.metrics import jobs
from charter_otel.metrics.board import JobBoard
from charter_otel.metrics.jobs import JOB_ID, aggregate_mission_metrics, run_job
from charter_otel.metrics.missions import Batch, MemoryMissions, MissionStore
from charter_otel.metrics.missions.aggregates import Aggregates
from charter_otel.testing import Capture, RecordingStream
from support.missions import OpenStore, append, entries, entry, processed
from support.polling import eventually
from support.redis import RedisServer

JOB = {"charter.job.id": JOB_ID}


class FailingStore(MemoryMissions):
    """A store that fails at its third read, with an error to choose."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error
        self._reads = 0

    async def read(self, limit: int) -> Batch:
        """Read, or fail."""
        self._reads += 1
        if self._reads == 3 and self.error is not None:
            raise self.error
        return await super().read(limit)


class HangingStore(MemoryMissions):
    """A store whose commit hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.committing = asyncio.Event()

    async def commit(self, batch: Batch, added: Aggregates) -> bool:
        """Hang."""
        self.committing.set()
        await asyncio.Event().wait()
        return await super().commit(batch, added)


class HostileError(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def _types(captured: Capture) -> list[str]:
    return [event.type for event in captured.events]


async def test_a_run_emits_started_and_completed(
    charter_capture: Capture, stream: RecordingStream
) -> None:
    """The payloads are the specification's; the stream gets the same events."""
    await jobs.get_mission_store().append([*entries(3), b"{"])
    assert await aggregate_mission_metrics() == 3
    started, completed = charter_capture.events
    assert started.type == "metrics.aggregation_started"
    assert started.payload.keys() == {"job_id", "started_at"}
    assert completed.type == "metrics.aggregation_completed"
    assert completed.payload["job_id"] == JOB_ID
    assert completed.payload["entries_processed"] == 3
    assert isinstance(completed.payload["duration_ms"], float)
    assert completed.payload["completed_at"] >= started.payload["started_at"]
    assert stream.events == [started, completed]


async def test_a_run_is_one_trace(charter_capture: Capture) -> None:
    """Both events are on the run's root span and carry its trace id, whatever called the job."""
    with charter_capture.instrumentation.tracer.start_as_current_span("caller"):
        await aggregate_mission_metrics()
    run, caller = charter_capture.spans
    assert (run.name, run.kind, run.parent_id) == ("charter.job.run", "internal", None)
    assert run.trace_id != caller.trace_id
    assert [event.name for event in run.events] == _types(charter_capture)
    assert {e.meta["correlation_id"] for e in charter_capture.events} == {run.trace_id}
    assert run.attributes == JOB | {"charter.job.entries_processed": 0}
    assert run.status == "unset"


async def test_each_run_counts_only_what_is_new(charter_capture: Capture) -> None:
    """``entries_processed`` is of this run; the aggregates are of all."""
    store = jobs.get_mission_store()
    for number in (2, 0, 3):
        await store.append(entries(number))
        assert await aggregate_mission_metrics() == number
    assert await processed(store) == 5
    assert charter_capture.metrics()["charter.job.run.duration"][0].measurements == 3


async def test_a_failed_run_says_what_happened(
    charter_capture: Capture, job_board: JobBoard
) -> None:
    """The real exception is in the event, on the span, in the metric, on the board, and raised."""
    jobs.set_mission_store(FailingStore(OSError("the disk is gone")))
    await jobs.get_mission_store().append(entries(25_000))
    with pytest.raises(OSError, match="the disk is gone"):
        await aggregate_mission_metrics()
    failed = charter_capture.events[-1]
    assert _types(charter_capture) == ["metrics.aggregation_started", "metrics.aggregation_failed"]
    assert failed.payload["error_message"] == "the disk is gone"
    assert failed.payload["error_type"] == "OSError"
    (run,) = charter_capture.spans
    assert run.status == "error"
    assert run.attributes["error.type"] == "OSError"
    assert [event.name for event in run.events] == _types(charter_capture)
    (point,) = charter_capture.metrics()["charter.job.run.duration"]
    assert (point.attributes, point.measurements) == (JOB | {"error.type": "OSError"}, 1)
    assert job_board.job(JOB_ID).last_error == "OSError"


@pytest.mark.parametrize("error", [None, OSError("gone"), asyncio.CancelledError()])
async def test_the_duration_is_the_time_from_start_to_end(
    charter_capture: Capture, monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    """In seconds, of a run that completed, that failed and that was cancelled."""
    ticks = iter((100.0, 102.5))
    clocks = SimpleNamespace(perf_counter=ticks.__next__, time=time.time)
    monkeypatch.setattr(jobs, "time", clocks)

    async def run() -> None:
        if error is not None:
            raise error

    [outcome] = await asyncio.gather(run_job("nightly", run), return_exceptions=True)
    assert isinstance(outcome, type(error) if error else int)
    [point] = charter_capture.metrics()["charter.job.run.duration"]
    assert (point.value, point.measurements) == (2.5, 1)


async def test_a_run_after_a_failure_goes_on_where_that_one_stopped(
    charter_capture: Capture,
) -> None:
    """Batches that were committed before the failure stay counted, and no entry counts twice."""
    store = FailingStore(OSError("the disk is gone"))
    jobs.set_mission_store(store)
    whole = 45_000
    await store.append(entries(whole))
    with pytest.raises(OSError, match="disk"):
        await aggregate_mission_metrics()
    assert await processed(store) == 40_000
    assert await aggregate_mission_metrics() == 5_000
    assert await processed(store) == whole
    (point,) = charter_capture.metrics()["charter.mission.entries"]
    assert point.value == whole


@pytest.mark.parametrize(
    ("error", "error_type", "message"),
    [
        (ValueError("x" * 5_000), "ValueError", "x" * 1_000),
        (ValueError("lone \ud800 surrogate"), "ValueError", "lone ? surrogate"),
        (ValueError(), "ValueError", "ValueError"),
        (HostileError(), "HostileError", "HostileError"),
    ],
)
async def test_the_message_of_any_exception_is_safe_and_bounded(
    charter_capture: Capture, error: Exception, error_type: str, message: str
) -> None:
    """The event is valid and short, whatever an exception says."""
    store = FailingStore(error)
    jobs.set_mission_store(store)
    await store.append(entries(25_000))
    with pytest.raises(type(error)):
        await aggregate_mission_metrics()
    payload = charter_capture.events[-1].payload
    assert (payload["error_type"], payload["error_message"]) == (error_type, message)


async def test_a_cancelled_run_has_failed(
    charter_capture: Capture, stream: RecordingStream, job_board: JobBoard
) -> None:
    """Shutdown in the middle of a run emits the failure, then the cancellation passes on."""
    store = HangingStore()
    jobs.set_mission_store(store)
    await store.append(entries(1))
    run = asyncio.create_task(aggregate_mission_metrics())
    await store.committing.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert charter_capture.events[-1].payload["error_type"] == "CancelledError"
    assert [event.type for event in stream.events] == _types(charter_capture)
    assert charter_capture.spans[0].status == "error"
    assert job_board.job(JOB_ID).active_runs == 0


async def test_malformed_entries_are_counted_and_logged_in_one_line(
    charter_capture: Capture,
) -> None:
    """However many they are, a run writes one line with a few examples, and a metric by reason."""
    data = [b"{", b"[]"] * 3_000
    await jobs.get_mission_store().append([*data, *entries(7)])
    assert await aggregate_mission_metrics() == 7
    (line,) = [li for li in charter_capture.lines if li["event"] == "mission entries skipped"]
    assert line["by_reason"] == {"not_json": 3_000, "not_an_entry": 3_000}
    assert len(line["examples"]) == 5
    rejected = {
        point.attributes["charter.mission.rejection"]: point.value
        for point in charter_capture.metrics()["charter.mission.rejected"]
    }
    assert rejected == line["by_reason"]


async def test_statuses_are_folded_in_the_metric_only(charter_capture: Capture) -> None:
    """A metric attribute is one of a closed list; the aggregates keep the status's own name."""
    store = jobs.get_mission_store()
    await store.append([entry(status=s) for s in ("completed", "wandering", "lost", "lost")])
    await aggregate_mission_metrics()
    points = charter_capture.metrics()["charter.mission.entries"]
    assert {p.attributes["charter.mission.status"]: p.value for p in points} == {
        "completed": 1,
        "other": 3,
    }
    assert (await store.aggregates()).by_status["lost"].entries == 2


async def test_runs_at_the_same_time_emit_what_each_counted(
    charter_capture: Capture, store: MissionStore
) -> None:
    """Two runs on one store share its entries, and their events add up."""
    jobs.set_mission_store(store)
    await append(store, 40_000)
    counts = await asyncio.gather(aggregate_mission_metrics(), aggregate_mission_metrics())
    told = [
        event.payload["entries_processed"]
        for event in charter_capture.events
        if event.type == "metrics.aggregation_completed"
    ]
    assert sorted(told) == sorted(counts)
    assert sum(told) == await processed(store) == 40_000


async def test_a_killed_redis_fails_the_run_and_is_recovered_from(
    charter_capture: Capture, mortal_redis: RedisServer, open_store: OpenStore
) -> None:
    """The event has redis-py's own exception; when Redis is back, the next run goes on."""
    store = open_store(mortal_redis.url)
    jobs.set_mission_store(store)
    await store.append(entries(1_500))
    assert await aggregate_mission_metrics() == 1_500
    await store.append(entries(700))
    mortal_redis.kill()
    with pytest.raises(RedisConnectionError) as caught:
        await aggregate_mission_metrics()
    failed = charter_capture.events[-1]
    assert failed.type == "metrics.aggregation_failed"
    assert failed.payload["error_type"] == "ConnectionError"
    assert failed.payload["error_message"] == str(caught.value)
    mortal_redis.start()
    assert await aggregate_mission_metrics() == 700
    assert await processed(store) == 2_200


async def test_a_redis_killed_during_a_run_counts_nothing_twice(
    charter_capture: Capture, mortal_redis: RedisServer, open_store: OpenStore
) -> None:
    """In the end the entries are counted once, wherever in a run the kill falls."""
    store = open_store(mortal_redis.url)
    jobs.set_mission_store(store)
    for _ in range(30):
        await append(store, 10_000)
    run = asyncio.create_task(aggregate_mission_metrics())
    points = "charter.mission.entries"
    await eventually(lambda: points in charter_capture.metrics(), "a batch is committed")
    mortal_redis.kill()
    outcome: Any = (await asyncio.gather(run, return_exceptions=True))[0]
    assert isinstance(outcome, Exception), "the run was over before the kill"
    mortal_redis.start()
    before = await processed(store)
    assert 0 < before <= 300_000  # all, where the kill falls on the last read
    assert await aggregate_mission_metrics() == 300_000 - before
    assert await processed(store) == 300_000


async def test_a_redis_that_hangs_fails_the_run_soon(
    charter_capture: Capture, mortal_redis: RedisServer, open_store: OpenStore
) -> None:
    """A server that accepts and never answers costs a few seconds, not a minute."""
    store = open_store(mortal_redis.url)
    jobs.set_mission_store(store)
    await aggregate_mission_metrics()
    mortal_redis.pause()
    try:
        async with asyncio.timeout(5):
            with pytest.raises(RedisTimeoutError):
                await aggregate_mission_metrics()
    finally:
        mortal_redis.resume()
    assert charter_capture.events[-1].payload["error_type"] == "TimeoutError"
