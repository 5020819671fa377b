"""Statistics for the analytics service: jobs, connections and the robots' use of resources."""

from collections import OrderedDict, deque
from collections.abc import Callable
from statistics import fmean, quantiles
from typing import Generic, NamedTuple, TypeVar

from charter_otel.charter import Event, EventType
from charter_otel.consumers.base import Follower

Value = TypeVar("Value")

MAX_SERIES = 10_000
"""Jobs and robots whose values are kept; beyond it the one that was heard of longest ago goes."""
MAX_POINTS = 240
"""Latest values that each series keeps."""


class Summary(NamedTuple):
    """What the latest values of a series say."""

    size: int
    """How many there are."""
    mean: float
    p50: float
    p95: float
    maximum: float


class JobStatistics(NamedTuple):
    """The latest completed runs of a job."""

    duration_ms: Summary
    entries_processed: int
    """Entries of these runs."""
    entries_per_second: float
    """Throughput while the job ran; 0 where the runs took no time."""


class Point(NamedTuple):
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
        """Give a series' values, oldest first."""
        return list(self._series.get(name, ()))

    def all(self) -> list[Value]:
        """Give the values of all series."""
        return [value for values in self._series.values() for value in values]


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
        self._connections: Recent[tuple[float, str | None]] = Recent(max_series, max_points)
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
        self._runs.add(payload["job_id"], (payload["duration_ms"], payload["entries_processed"]))

    def analyze_connection_duration(self, event: Event) -> None:
        """Record how long a connection lasted, and why it ended."""
        payload = event.payload
        self._connections.add(
            payload["robot_id"], (payload["duration_seconds"], payload.get("reason"))
        )

    def store_metrics(self, event: Event) -> None:
        """Record a robot's readings."""
        point = Point(timestamp=event.payload["published_at"], **event.payload["metrics"])
        self._points.add(event.payload["robot_id"], point)

    def job(self, job_id: str) -> JobStatistics | None:
        """Give a job's statistics, or None where no run of it is known."""
        runs = self._runs.of(job_id)
        if not runs:
            return None
        entries = sum(entries for _, entries in runs)
        seconds = sum(duration for duration, _ in runs) / 1000
        rate = entries / seconds if seconds else 0.0
        return JobStatistics(summarize([duration for duration, _ in runs]), entries, rate)

    def connections(self, robot_id: str | None = None) -> Summary | None:
        """Give how long a robot's connections lasted, or all robots', in seconds."""
        ended = self._connections.of(robot_id) if robot_id else self._connections.all()
        return summarize([duration for duration, _ in ended]) if ended else None

    def reasons(self) -> dict[str, int]:
        """Give how many of the known connections ended for each reason."""
        counts: dict[str, int] = {}
        for _, reason in self._connections.all():
            counts[reason or "unknown"] = counts.get(reason or "unknown", 0) + 1
        return counts

    def readings(self, robot_id: str) -> list[Point]:
        """Give a robot's latest readings, oldest first."""
        return self._points.of(robot_id)

    def trend(self, robot_id: str, field: str) -> float | None:
        """Give by how much a reading changes, per hour.

        Args:
            robot_id: The robot.
            field: A field of `Point`, e.g. ``battery_percentage``.

        Returns:
            The slope of the line through the first and the last half's means; None where there
            are fewer than two points at different times.
        """
        points = self._points.of(robot_id)
        middle = len(points) // 2
        if not middle:
            return None
        early, late = points[:middle], points[middle:]
        hours = (_mean(late, "timestamp") - _mean(early, "timestamp")) / 3600
        return (_mean(late, field) - _mean(early, field)) / hours if hours > 0 else None


def summarize(values: list[float]) -> Summary:
    """Give what the values, at least one, say."""
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return Summary(len(values), fmean(values), cuts[49], cuts[94], max(values))


def _mean(points: list[Point], field: str) -> float:
    return fmean(getattr(point, field) for point in points)
