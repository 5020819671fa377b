"""The REST routes of the consumers *status* and *analytics*."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from litestar import Router, get
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import QueryParameter
from litestar.status_codes import HTTP_404_NOT_FOUND
from msgspec import Struct

from charter_otel.charter import ROBOT_ID_PATTERN, ROBOT_ID_RULE, is_robot_id, portable
from charter_otel.consumers import Analytics, Consumer, Status
from charter_otel.consumers.analytics import READINGS, JobStatistics, Point, Summary
from charter_otel.consumers.status import JobStatus, RobotStatus, latest
from charter_otel.methods import with_methods
from charter_otel.service.events import Limit
from charter_otel.service.problems import problem_responses

Wanted = TypeVar("Wanted", Status, Analytics)

RobotId = Annotated[
    str | None,
    QueryParameter(
        name="robot_id",
        description="A robot, whose statistics to give instead.",
        schema_extra=portable({"pattern": ROBOT_ID_PATTERN}),
    ),
]


class StatusBoard(Struct):
    """The state of jobs and robots, each with the most recently updated first."""

    jobs: list[JobStatus]
    robots: list[RobotStatus]
    active_connections: int
    """Robots that are online, including those beyond the limit."""


class FleetStatistics(Struct):
    """The jobs that completed last, and the latest connections that ended."""

    jobs: dict[str, JobStatistics]
    """By job id."""
    connections: Summary | None
    """Their durations in seconds; None if none has ended."""
    reasons: dict[str, int]
    """Close reasons, and the number of connections for each."""


class RobotStatistics(Struct):
    """A robot's connections and readings."""

    robot_id: str
    connections: Summary | None
    """Durations of those that ended, in seconds; None if none has."""
    readings: list[Point]
    """The latest that were published, oldest first."""
    trends: dict[str, float | None]
    """Change of each reading per hour; None if the readings do not suffice."""


def consumers_router(consumers: Sequence[Consumer]) -> Router:
    """Make the routes under ``/api/consumers``."""

    @get(
        "/status",
        summary="Jobs and robots as the events tell of them",
        operation_id="get_status",
        responses=problem_responses(HTTP_404_NOT_FOUND),
    )
    async def get_status(limit: Limit = 100) -> StatusBoard:
        """Return the board of the consumer *status*: at most `limit` jobs and robots.

        It follows the event stream, so that it is the same on all instances that share one. It
        shows each job's last run, whichever instance ran it.
        """
        status = _find(consumers, Status)
        jobs, robots = latest(status.jobs, limit), latest(status.robots, limit)
        return StatusBoard(jobs, robots, status.active_connections)

    @get(
        "/analytics",
        summary="Statistics of jobs, connections and readings",
        operation_id="get_analytics",
        responses=problem_responses(HTTP_404_NOT_FOUND),
    )
    async def get_analytics(
        robot_id: RobotId = None, limit: Limit = 100
    ) -> FleetStatistics | RobotStatistics:
        """Return the statistics of the consumer *analytics*, of the fleet or of one robot.

        The statistics of the fleet cover at most `limit` jobs.
        """
        if robot_id is not None and not is_robot_id(robot_id):
            refused = {"message": f"Expected {ROBOT_ID_RULE}", "key": "robot_id"}
            raise ValidationException(extra=[refused])
        analytics = _find(consumers, Analytics)
        if robot_id is not None:
            return _robot(analytics, robot_id)
        return FleetStatistics(analytics.jobs(limit), analytics.connections(), analytics.reasons())

    handlers = with_methods([get_status, get_analytics])
    return Router("/api/consumers", route_handlers=handlers, tags=["consumers"])


def _find(consumers: Sequence[Consumer], kind: type[Wanted]) -> Wanted:
    for consumer in consumers:
        if isinstance(consumer, kind):
            return consumer
    raise NotFoundException(
        f"The consumer {kind.name} does not run; add {kind.name} to CHARTER_CONSUMERS and start "
        "again."
    )


def _robot(analytics: Analytics, robot_id: str) -> RobotStatistics:
    return RobotStatistics(
        robot_id,
        analytics.connections(robot_id),
        analytics.readings(robot_id),
        {field: analytics.trend(robot_id, field) for field in READINGS},
    )
