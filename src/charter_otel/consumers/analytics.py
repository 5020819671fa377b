"""Statistics for the analytics service: jobs, connections and the robots' use of resources."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from statistics import fmean, quantiles
from typing import Generic, TypeVar

from msgspec import Struct

from charter_otel.charter import Event, EventType
from charter_otel.consumers.base import Follower

Value = TypeVar("Value")

MAX_SERIES = 10_000
"""Jobs and robots whose values are kept; beyond it, the one without news for longest goes."""
MAX_POINTS = 240
"""Latest values that each series keeps."""
MAX_CONNECTIONS = 10_000
"""Latest ended connections of all robots that the overall statistics cover."""
LARGEST = 1e15
"""Greater values count as this, so that no sum overflows: events may bring any finite number."""

READINGS = ("cpu_usage", "memory_usage", "network_latency_ms", "battery_percentage")
"""The fields of `Point` that have a trend."""


class Summary(Struct, frozen=True):
    """Statistics of the latest values of a series."""

    size: int
    """The number of values."""
    mean: float
    p50: float
    p95: float
    maximum: float


class JobStatistics(Struct, frozen=True):
    """The latest completed runs of a job."""

    duration_ms: Summary
    entries_processed: int
    """Entries of these runs."""
    entries_per_second: float
    """Throughput while the job ran; 0 if the runs took no time."""


class Point(Struct, frozen=True):
    """A robot's readings at a time, in the units of the event."""

    timestamp: float
    cpu_usage: float
    memory_usage: float
    network_latency_ms: float
    battery_percentage: float


class Recent(Generic[Value]):
    """The latest values of each of a bounded number of series."""

    def __init__(self, max_series: int, max_points: int) -> None:
        self._max_series = max_series
        self._max_points = max_points
        self._series: OrderedDict[str, deque[Value]] = OrderedDict()

    def add(self, name: str, value: Value) -> None:
        """Add a value to a series."""
        self._series.setdefault(name, deque(maxlen=self._max_points)).append(value)
        self._series.move_to_end(name)
        if len(self._series) > self._max_series:
            self._series.popitem(last=False)

    def of(self, name: str) -> list[Value]:
        """Return a series' values, oldest first."""
        return list(self._series.get(name, ()))

    def latest(self, limit: int) -> list[str]:
        """Return the names of the series that got a value last, the latest first."""
        return list(islice(reversed(self._series), limit))


class Analytics(Follower):
    """Keeps the latest values of each job and robot, and answers with statistics."""

    name = "analytics"
    types = frozenset(
        {
            EventType.METRICS_AGGREGATION_COMPLETED,
            EventType.TELEMETRY_CONNECTION_CLOSED,
            EventType.TELEMETRY_METRICS_PUBLISHED,
        }
    )

    def __init__(self, *, max_series: int = MAX_SERIES, max_points: int = MAX_POINTS) -> None:
        super().__init__()
        self._runs: Recent[tuple[float, int]] = Recent(max_series, max_points)
        self._connections: Recent[float] = Recent(max_series, max_points)
        self._ended: deque[tuple[float, str]] = deque(maxlen=MAX_CONNECTIONS)
        self._points: Recent[Point] = Recent(max_series, max_points)
        self._records: dict[str, Callable[[Event], None]] = {
            EventType.METRICS_AGGREGATION_COMPLETED: self.monitor_job_performance,
            EventType.TELEMETRY_CONNECTION_CLOSED: self.analyze_connection_duration,
            EventType.TELEMETRY_METRICS_PUBLISHED: self.store_metrics,
        }

    def apply(self, event: Event) -> None:
        """Take an event into the statistics."""
        self._records[event.type](event)

    def monitor_job_performance(self, event: Event) -> None:
        """Record a run's duration and entries."""
        payload = event.payload
        run = (_bounded(payload["duration_ms"]), payload["entries_processed"])
        self._runs.add(payload["job_id"], run)

    def analyze_connection_duration(self, event: Event) -> None:
        """Record how long a connection lasted, and why it ended."""
        payload = event.payload
        seconds = _bounded(payload["duration_seconds"])
        self._connections.add(payload["robot_id"], seconds)
        self._ended.append((seconds, payload.get("reason") or "unknown"))

    def store_metrics(self, event: Event) -> None:
        """Record a robot's readings."""
        metrics = event.payload["metrics"]
        point = Point(
            timestamp=_bounded(event.payload["published_at"]),
            **{name: _bounded(metrics[name]) for name in READINGS},
        )
        self._points.add(event.payload["robot_id"], point)

    def jobs(self, limit: int) -> dict[str, JobStatistics]:
        """Return the statistics of the jobs that completed last, the latest first."""
        known = ((job_id, self.job(job_id)) for job_id in self._runs.latest(limit))
        return {job_id: statistics for job_id, statistics in known if statistics is not None}

    def job(self, job_id: str) -> JobStatistics | None:
        """Return a job's statistics, or None if no run of it is known."""
        runs = self._runs.of(job_id)
        if not runs:
            return None
        entries = sum(entries for _, entries in runs)
        seconds = sum(duration for duration, _ in runs) / 1000
        rate = entries / seconds if seconds else 0.0
        durations = [duration for duration, _ in runs]
        return JobStatistics(summarize(durations), entries, _bounded(rate))

    def connections(self, robot_id: str | None = None) -> Summary | None:
        """Return how long a robot's connections lasted, or the latest of all, in seconds."""
        if robot_id is None:
            durations = [duration for duration, _ in self._ended]
        else:
            durations = self._connections.of(robot_id)
        return summarize(durations) if durations else None

    def reasons(self) -> dict[str, int]:
        """Return how many of the latest connections ended for each reason."""
        return dict(Counter(reason for _, reason in self._ended))

    def readings(self, robot_id: str) -> list[Point]:
        """Return a robot's latest readings, oldest first."""
        return self._points.of(robot_id)

    def trend(self, robot_id: str, field: str) -> float | None:
        """Return the change of a reading per hour.

        Args:
            robot_id: The robot.
            field: One of `READINGS`.

        Returns:
            The slope of the line through the first and the last half's means; None if there are
            fewer than two points at different times.
        """
        points = self._points.of(robot_id)
        middle = len(points) // 2
        if not middle:
            return None
        early, late = points[:middle], points[middle:]
        hours = (_mean(late, "timestamp") - _mean(early, "timestamp")) / 3600
        change = _mean(late, field) - _mean(early, field)
        return _bounded(change / hours) if hours > 0 else None


def summarize(values: list[float]) -> Summary:
    """Return the summary of at least one value."""
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return Summary(len(values), fmean(values), cuts[49], cuts[94], max(values))


def _mean(points: list[Point], field: str) -> float:
    return fmean(getattr(point, field) for point in points)


def _bounded(value: float) -> float:
    return max(-LARGEST, min(value, LARGEST))
