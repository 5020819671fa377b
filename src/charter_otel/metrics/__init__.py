"""Mission metrics, not OpenTelemetry's: the aggregation job, its schedule, its REST routes."""

from charter_otel.metrics.board import JobBoard, JobState, get_job_board, set_job_board
from charter_otel.metrics.job import Job
from charter_otel.metrics.jobs import (
    JOB_ID,
    aggregate_mission_metrics,
    get_mission_store,
    set_event_stream,
    set_mission_store,
)
from charter_otel.metrics.locks import NoLock, RedisSlotLock, SlotLock
from charter_otel.metrics.missions import MissionStore
from charter_otel.metrics.schedule import Schedule

__all__ = [
    "JOB_ID",
    "Job",
    "JobBoard",
    "JobState",
    "MissionStore",
    "NoLock",
    "RedisSlotLock",
    "Schedule",
    "SlotLock",
    "aggregate_mission_metrics",
    "get_job_board",
    "get_mission_store",
    "set_event_stream",
    "set_job_board",
    "set_mission_store",
]
