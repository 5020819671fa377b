"""The system monitoring dashboard's data: a board of the jobs and the presence of the robots."""

from collections.abc import Callable
from itertools import islice
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from charter_otel.charter import CloseReason, Event, EventType
from charter_otel.consumers.base import Follower, keep_latest

Entry = TypeVar("Entry")

MAX_JOBS = 10_000
MAX_ROBOTS = 100_000
"""Most jobs and robots on the board; beyond it, the one without news for longest goes."""


class JobStatus(Struct, frozen=True):
    """The state of a job. Times are Unix seconds."""

    job_id: str
    status: Literal["running", "completed", "failed"]
    started_at: float | None = None
    ended_at: float | None = None
    entries_processed: int | None = None
    duration_ms: float | None = None
    error: str | None = None


class RobotStatus(Struct, frozen=True):
    """The state of a robot. Times are Unix seconds."""

    robot_id: str
    status: Literal["online", "offline", "unknown"]
    connection_id: str | None = None
    connected_at: float | None = None
    disconnected_at: float | None = None
    last_connection_duration: float | None = None
    """Seconds."""
    last_reason: CloseReason | None = None
    metrics: dict[str, float] | None = None
    """The last readings that were published."""


class Status(Follower):
    """Keeps the job board and the presence; ask `jobs` and `robots`.

    Both begin with the entry whose last event is the oldest; `latest` reverses the order.
    """

    name = "status"

    def __init__(self, *, max_jobs: int = MAX_JOBS, max_robots: int = MAX_ROBOTS) -> None:
        super().__init__()
        self.jobs: dict[str, JobStatus] = {}
        """The jobs, by id."""
        self.robots: dict[str, RobotStatus] = {}
        """The robots, by id."""
        self._max_jobs = max_jobs
        self._max_robots = max_robots
        self._tracks: dict[str, Callable[[Event], None]] = {
            EventType.METRICS_AGGREGATION_STARTED: self.track_job_start,
            EventType.METRICS_AGGREGATION_COMPLETED: self.update_job_completion,
            EventType.METRICS_AGGREGATION_FAILED: self.update_job_failure,
            EventType.TELEMETRY_CONNECTION_ESTABLISHED: self.track_robot_online,
            EventType.TELEMETRY_CONNECTION_CLOSED: self.track_robot_offline,
            EventType.TELEMETRY_METRICS_PUBLISHED: self.update_robot_metrics,
        }

    @property
    def active_connections(self) -> int:
        """Robots that are online."""
        return sum(robot.status == "online" for robot in self.robots.values())

    def apply(self, event: Event) -> None:
        """Show an event on the board; events of types that a program declared are not on it."""
        if track := self._tracks.get(event.type):
            track(event)

    def track_job_start(self, event: Event) -> None:
        """Show a job as running."""
        payload = event.payload
        self._keep_job(JobStatus(payload["job_id"], "running", payload["started_at"]))

    def update_job_completion(self, event: Event) -> None:
        """Show a job as completed."""
        payload = event.payload
        self._keep_job(
            replace(
                self._job(payload["job_id"]),
                status="completed",
                ended_at=payload["completed_at"],
                entries_processed=payload["entries_processed"],
                duration_ms=payload["duration_ms"],
                error=None,
            )
        )

    def update_job_failure(self, event: Event) -> None:
        """Show a job as failed."""
        payload = event.payload
        self._keep_job(
            replace(
                self._job(payload["job_id"]),
                status="failed",
                ended_at=payload["failed_at"],
                error=f"{payload['error_type']}: {payload['error_message']}",
            )
        )

    def track_robot_online(self, event: Event) -> None:
        """Show a robot as online."""
        payload = event.payload
        self._keep_robot(
            replace(
                self._robot(payload["robot_id"]),
                status="online",
                connection_id=payload["connection_id"],
                connected_at=payload["connected_at"],
            )
        )

    def track_robot_offline(self, event: Event) -> None:
        """Show a robot as offline, unless it is online with a newer connection already."""
        payload = event.payload
        robot = self._robot(payload["robot_id"])
        if robot.connection_id not in (None, payload["connection_id"]):
            return
        self._keep_robot(
            replace(
                robot,
                status="offline",
                connection_id=None,
                disconnected_at=payload["disconnected_at"],
                last_connection_duration=payload["duration_seconds"],
                last_reason=payload.get("reason"),
            )
        )

    def update_robot_metrics(self, event: Event) -> None:
        """Show a robot's readings."""
        robot = self._robot(event.payload["robot_id"])
        self._keep_robot(replace(robot, metrics=event.payload["metrics"]))

    def _job(self, job_id: str) -> JobStatus:
        return self.jobs.get(job_id) or JobStatus(job_id, "running")

    def _robot(self, robot_id: str) -> RobotStatus:
        return self.robots.get(robot_id) or RobotStatus(robot_id, "unknown")

    def _keep_job(self, job: JobStatus) -> None:
        keep_latest(self.jobs, job.job_id, job, self._max_jobs)

    def _keep_robot(self, robot: RobotStatus) -> None:
        keep_latest(self.robots, robot.robot_id, robot, self._max_robots)


def latest(entries: dict[str, Entry], limit: int) -> list[Entry]:
    """Return the entries with the latest events, the latest first."""
    return list(islice(reversed(entries.values()), limit))
