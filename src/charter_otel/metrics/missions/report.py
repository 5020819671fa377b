"""The aggregates in the form for people."""

from msgspec import Struct

from charter_otel.metrics.missions.aggregates import (
    ROBOT_CAP,
    Aggregates,
    RobotAggregate,
    StatusAggregate,
)


class NamedRobots(Struct):
    """The robots that entries named."""

    total: int
    """Number of different robots; a lower bound if ``at_cap`` is true."""
    at_cap: bool
    """Whether no more robots are kept by id."""
    entries_beyond_cap: int
    """Entries of robots that are not kept by id."""
    by_robot: dict[str, RobotAggregate]


class MissionReport(Struct):
    """The job's counts since the store began. Times are Unix seconds."""

    entries_processed: int
    malformed: int
    malformed_by_reason: dict[str, int]
    last_seen_at: float | None
    by_status: dict[str, StatusAggregate]
    robots: NamedRobots


def report(aggregates: Aggregates) -> MissionReport:
    """Return the aggregates with their totals."""
    totals, robots = aggregates.totals, aggregates.by_robot
    return MissionReport(
        entries_processed=totals.entries_processed,
        malformed=sum(totals.malformed.values()),
        malformed_by_reason=totals.malformed,
        last_seen_at=totals.last_seen_at,
        by_status=aggregates.by_status,
        robots=NamedRobots(
            total=len(robots),
            at_cap=len(robots) >= ROBOT_CAP,
            entries_beyond_cap=totals.entries_beyond_robot_cap,
            by_robot=robots,
        ),
    )
