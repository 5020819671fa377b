"""The aggregation job: `aggregate_mission_metrics`, its three events, its span."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from charter_otel.charter import Event, EventType
from charter_otel.emit import AnyStream, event_seam, get_emitter
from charter_otel.metrics.aggregation import aggregate
from charter_otel.metrics.board import get_job_board
from charter_otel.metrics.missions import MemoryMissions, MissionStore
from charter_otel.otel import Instrumentation, semconv
from charter_otel.seams import Seam

__all__ = [
    "JOB_ID",
    "Event",
    "aggregate_mission_metrics",
    "get_mission_store",
    "run_job",
    "set_event_stream",
    "set_mission_store",
]

JOB_ID = "aggregate_mission_metrics"
"""The job's id in events, metrics and on the job board."""
MESSAGE_KEPT = 1_000
"""Characters of an exception's message that ``aggregation_failed`` carries."""

_event_stream: AnyStream | None = None
set_event_stream, _emit_event_safe = event_seam(globals())

_mission_store: Seam[MissionStore] = Seam(MemoryMissions())


def get_mission_store() -> MissionStore:
    """Return the store that the job reads and the REST routes write."""
    return _mission_store.get()


def set_mission_store(store: MissionStore | None) -> None:
    """Replace the store of the job and the routes; None stands for a new one in memory."""
    _mission_store.set(MemoryMissions() if store is None else store)


async def aggregate_mission_metrics() -> int:
    """Aggregate the mission entries that have arrived since the last run.

    Emit ``metrics.aggregation_started``, then ``metrics.aggregation_completed`` or
    ``metrics.aggregation_failed``, in one trace whose root is the run's span. A cancelled run
    counts as failed, with error type ``CancelledError``.

    Returns:
        How many entries were counted.

    Raises:
        Exception: The cause of the failure, after ``aggregation_failed`` is emitted.
    """

    async def count() -> int:
        return await aggregate(get_mission_store(), _instrumentation().instruments)

    return await run_job(JOB_ID, count)


async def run_job(job_id: str, run: Callable[[], Awaitable[object]]) -> int:
    """Run a job with its events, its span, its metrics and its place on the board.

    Args:
        job_id: The job's id in all of them.
        run: The job's coroutine function; an integer that it returns is ``entries_processed``.

    Returns:
        That number, or 0.

    Raises:
        Exception: The cause of the failure, after ``aggregation_failed`` is emitted.
    """
    with get_job_board().run(job_id), _span(job_id) as span:
        started = time.perf_counter()
        try:
            await _emit_event_safe(
                event_type=EventType.METRICS_AGGREGATION_STARTED,
                payload={"job_id": job_id, "started_at": time.time()},
            )
            returned = await run()
        except (Exception, asyncio.CancelledError) as error:
            await _failed(job_id, error, span, time.perf_counter() - started)
            raise
        processed = max(0, returned) if isinstance(returned, int) else 0
        await _completed(job_id, processed, span, time.perf_counter() - started)
        return processed


def _instrumentation() -> Instrumentation:
    # Not an argument: the specification's functions have none. Spans and metrics have to come from
    # the emitter that `_emit_event_safe` uses, or a run's events would not be in its trace.
    return get_emitter().instrumentation


def _span(job_id: str) -> AbstractContextManager[Span]:
    """Start the run's span: a root span, whatever span the caller has."""
    return _instrumentation().tracer.start_as_current_span(
        semconv.SPAN_CHARTER_JOB_RUN,
        context=Context(),
        kind=SpanKind.INTERNAL,
        attributes={semconv.CHARTER_JOB_ID: job_id},
        record_exception=False,
        set_status_on_exception=False,
    )


async def _completed(job_id: str, processed: int, span: Span, seconds: float) -> None:
    span.set_attribute(semconv.CHARTER_JOB_ENTRIES_PROCESSED, processed)
    # The run's duration is recorded with this event.
    await _emit_event_safe(
        event_type=EventType.METRICS_AGGREGATION_COMPLETED,
        payload={
            "job_id": job_id,
            "entries_processed": processed,
            "duration_ms": seconds * 1000,
            "completed_at": time.time(),
        },
    )


async def _failed(job_id: str, error: BaseException, span: Span, seconds: float) -> None:
    error_type = type(error).__name__
    message = _message(error)
    span.set_attribute(semconv.ERROR_TYPE, error_type)
    span.set_status(Status(StatusCode.ERROR, message))
    _instrumentation().instruments.job_duration.record(
        seconds, {semconv.CHARTER_JOB_ID: job_id, semconv.ERROR_TYPE: error_type}
    )
    await _emit_event_safe(
        event_type=EventType.METRICS_AGGREGATION_FAILED,
        payload={
            "job_id": job_id,
            "error_message": message,
            "error_type": error_type,
            "failed_at": time.time(),
        },
    )


def _message(error: BaseException) -> str:
    """Return the exception's message, bounded, or its class name if the message is empty."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot say what it is is still reported
        message = ""
    encodable = message[:MESSAGE_KEPT].encode("utf-8", "replace").decode()
    return encodable or type(error).__name__
