"""The aggregation job: `aggregate_mission_metrics`, its three events, its span."""

import asyncio
import time
from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from charter_otel.charter import Event, EventType
from charter_otel.emit import AnyStream, event_seam, get_emitter
from charter_otel.metrics.aggregation import aggregate
from charter_otel.metrics.board import get_job_board
from charter_otel.metrics.missions import MemoryMissions, MissionStore
from charter_otel.otel import semconv

__all__ = [
    "JOB_ID",
    "Event",
    "aggregate_mission_metrics",
    "get_mission_store",
    "set_event_stream",
    "set_mission_store",
]

JOB_ID = "aggregate_mission_metrics"
"""The job's id in events, metrics and on the job board."""
MESSAGE_KEPT = 1_000
"""Characters of an exception's message that ``aggregation_failed`` carries."""

_event_stream: AnyStream | None = None
set_event_stream, _emit_event_safe = event_seam(globals())

_mission_store: MissionStore = MemoryMissions()


def get_mission_store() -> MissionStore:
    """Return the store that the job reads and the REST routes write."""
    return _mission_store


def set_mission_store(store: MissionStore | None) -> None:
    """Replace the store of the job and the routes; None is a new one in memory."""
    global _mission_store  # noqa: PLW0603 - the specification's jobs are functions of a module
    _mission_store = MemoryMissions() if store is None else store


async def aggregate_mission_metrics() -> int:
    """Aggregate the mission entries that have come since the last run.

    Emits ``metrics.aggregation_started``, then ``metrics.aggregation_completed`` or
    ``metrics.aggregation_failed``, in one trace whose root is the run's span. A run that is
    cancelled has failed too, with error type ``CancelledError``.

    Returns:
        How many entries were counted.

    Raises:
        Exception: What made the run fail, after ``aggregation_failed`` is emitted.
    """
    with get_job_board().run(JOB_ID), _span() as span:
        started = time.perf_counter()
        try:
            await _emit_event_safe(
                event_type=EventType.METRICS_AGGREGATION_STARTED,
                payload={"job_id": JOB_ID, "started_at": time.time()},
            )
            processed = await aggregate(_mission_store, get_emitter().instrumentation.instruments)
        except (Exception, asyncio.CancelledError) as error:
            await _failed(error, span, time.perf_counter() - started)
            raise
        await _completed(processed, span, time.perf_counter() - started)
        return processed


def _span() -> AbstractContextManager[Span]:
    """Start the run's span: a root, whoever calls."""
    return get_emitter().instrumentation.tracer.start_as_current_span(
        semconv.SPAN_CHARTER_JOB_RUN,
        context=Context(),
        kind=SpanKind.INTERNAL,
        attributes={semconv.CHARTER_JOB_ID: JOB_ID},
        record_exception=False,
        set_status_on_exception=False,
    )


async def _completed(processed: int, span: Span, seconds: float) -> None:
    span.set_attribute(semconv.CHARTER_JOB_ENTRIES_PROCESSED, processed)
    # The run's duration is recorded with this event.
    await _emit_event_safe(
        event_type=EventType.METRICS_AGGREGATION_COMPLETED,
        payload={
            "job_id": JOB_ID,
            "entries_processed": processed,
            "duration_ms": seconds * 1000,
            "completed_at": time.time(),
        },
    )


async def _failed(error: BaseException, span: Span, seconds: float) -> None:
    error_type = type(error).__name__
    message = _message(error)
    span.set_attribute(semconv.ERROR_TYPE, error_type)
    span.set_status(Status(StatusCode.ERROR, message))
    get_emitter().instrumentation.instruments.job_duration.record(
        seconds, {semconv.CHARTER_JOB_ID: JOB_ID, semconv.ERROR_TYPE: error_type}
    )
    await _emit_event_safe(
        event_type=EventType.METRICS_AGGREGATION_FAILED,
        payload={
            "job_id": JOB_ID,
            "error_message": message,
            "error_type": error_type,
            "failed_at": time.time(),
        },
    )


def _message(error: BaseException) -> str:
    """Return what the exception says, bounded, and its class name where it says nothing."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot say what it is is still reported
        message = ""
    encodable = message[:MESSAGE_KEPT].encode("utf-8", "replace").decode()
    return encodable or type(error).__name__
