"""Mission entries: their fields, their stores and their aggregates."""

from charter_otel.metrics.missions.aggregates import Aggregates
from charter_otel.metrics.missions.base import (
    Batch,
    MissionBacklogFull,
    MissionStore,
    MissionsUnavailable,
)
from charter_otel.metrics.missions.entries import MissionEntry
from charter_otel.metrics.missions.memory import MemoryMissions
from charter_otel.metrics.missions.redis import RedisMissions

__all__ = [
    "Aggregates",
    "Batch",
    "MemoryMissions",
    "MissionBacklogFull",
    "MissionEntry",
    "MissionStore",
    "MissionsUnavailable",
    "RedisMissions",
]
