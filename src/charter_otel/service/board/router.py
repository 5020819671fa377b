"""The REST routes of the board: the overview, and the robots a page at a time."""

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Literal

from litestar import Router, get
from litestar.exceptions import NotFoundException
from litestar.params import QueryParameter
from msgspec import Struct

from charter_otel.charter import EXPECTED_CLOSE_REASONS, CloseReason
from charter_otel.methods import with_methods
from charter_otel.metrics.board import JobState, get_job_board
from charter_otel.service.board.fleet import (
    Conditions,
    FleetCounts,
    FleetView,
    Listing,
    Presence,
    Robots,
    Sort,
    Wanted,
)
from charter_otel.service.http import UNTRACED
from charter_otel.telemetry.responses import RobotId
from charter_otel.telemetry.router import METRICS
from charter_otel.thresholds import Thresholds

MOST_ROWS = 200
"""Most robots in one answer."""

Search = Annotated[
    str, QueryParameter(description="A part of the robot's id or of a label.", max_length=64)
]
Status = Annotated[Wanted, QueryParameter(description="Which robots.")]
Order = Annotated[Sort, QueryParameter(description="Those that left last come first by default.")]
Rows = Annotated[int, QueryParameter(description="How many at most.", ge=1, le=MOST_ROWS)]
Offset = Annotated[int, QueryParameter(description="How many to leave out.", ge=0)]


class Marks(Struct, frozen=True):
    """The marks of the board: the thresholds of alerts and pages, and the expected closes."""

    battery_low: float
    """Percent."""
    cpu_high: float
    """Percent."""
    expected_reasons: list[CloseReason]
    """Close reasons that need no attention."""


class Overview(Struct):
    """The state of the service and its fleet. Times are Unix seconds."""

    name: str
    version: str
    now: float
    """The service's clock."""
    connections: int
    """Open connections of this instance."""
    instances: int
    """Live instances that share the robots; `fleet` counts the robots of all of them."""
    fleet: FleetCounts
    trouble: dict[str, int]
    """Robots of this instance in each condition that needs attention."""
    in_trouble: int
    """Robots of this instance in any of them."""
    jobs: list[JobState]
    emitted: dict[str, int]
    """Events that this instance has emitted, by type."""
    marks: Marks
    recent_spans: int
    """Finished spans that the service keeps; 0 if it keeps none."""
    grafana_url: str | None


class RobotState(Struct):
    """A robot's presence and its last reading."""

    robot_id: str
    status: Literal["online", "offline"]
    connection_id: str | None = None
    connected_at: float | None = None
    last_seen_at: float | None = None
    disconnected_at: float | None = None
    last_reason: CloseReason | None = None
    metrics: dict[str, float] | None = None
    """The last reading, or None if there is none."""
    updated_at: float | None = None
    labels: dict[str, str] = {}
    """Labels of its token, such as its site, if `CHARTER_ROBOT_LABELS` names them."""
    conditions: list[str] = []
    """Its conditions on this instance: `low_battery`, `high_cpu`, `flapping`, `lost`."""


class RobotsPage(Struct):
    """A part of the robots."""

    now: float
    known: int
    """All known robots."""
    matched: int
    """Robots that match the request, on all pages together."""
    robots: list[RobotState]


class Source:
    """The source of the board's answers.

    Args:
        get_robots: Returns the source of the robots.
        get_connections: Returns the number of open connections of this instance.
        get_conditions: Returns the ids of this instance's robots in each condition.
        get_emitted: Returns the number of events that this instance has emitted, by type.
        thresholds: The thresholds of a robot's conditions.
        grafana_url: Base address of Grafana.
        recent_spans: Finished spans that the service keeps.
    """

    def __init__(
        self,
        *,
        get_robots: Callable[[], Robots],
        get_connections: Callable[[], int],
        get_conditions: Callable[[], Conditions],
        get_emitted: Callable[[], dict[str, int]],
        thresholds: Thresholds,
        grafana_url: str | None = None,
        recent_spans: int = 0,
    ) -> None:
        self._view = FleetView(get_robots, get_conditions)
        self._get_robots = get_robots
        self._get_connections = get_connections
        self._get_emitted = get_emitted
        self._marks = Marks(
            thresholds.battery_low, thresholds.cpu_high, sorted(EXPECTED_CLOSE_REASONS)
        )
        self._grafana_url = grafana_url
        self._recent_spans = recent_spans

    async def overview(self) -> Overview:
        """Return the overview."""
        listing = await self._view.listing()
        return Overview(
            name="charter-otel",
            version=version("charter-otel"),
            now=time.time(),
            connections=self._get_connections(),
            instances=self._get_robots().members,
            fleet=listing.counts,
            trouble={name: len(ids) for name, ids in listing.trouble.items()},
            in_trouble=listing.in_trouble,
            jobs=get_job_board().jobs(),
            emitted=self._get_emitted(),
            marks=self._marks,
            recent_spans=self._recent_spans,
            grafana_url=self._grafana_url,
        )

    async def listing(self) -> Listing:
        """Return all robots."""
        return await self._view.listing()

    async def state(self, listing: Listing, robot: Presence) -> RobotState:
        """Return a robot's presence with its last reading, without an event."""
        robot_id = robot["robot_id"]
        known = {**robot, "conditions": listing.conditions(robot_id)}
        reading = await self._get_robots().reading(robot_id)
        if reading is not None:
            known["updated_at"] = reading["updated_at"]
            known["metrics"] = {name: reading[name] for name in METRICS}
        # Not checked: another instance may be newer, and know more close reasons.
        shown = {name: known[name] for name in RobotState.__struct_fields__ if name in known}
        return RobotState(**shown)


def board_router(source: Source) -> Router:
    """Return the routes under ``/api/board``. None of them makes spans or emits events."""

    @get("/", summary="How everything stands", operation_id="get_board")
    async def get_board() -> Overview:
        """Return counts of the fleet, the jobs on this instance, and what the page needs."""
        return await source.overview()

    @get("/robots", summary="Robots, a page at a time", operation_id="get_board_robots")
    async def get_board_robots(
        search: Search = "",
        status: Status = "all",
        sort: Order = "attention",
        limit: Rows = 50,
        offset: Offset = 0,
    ) -> RobotsPage:
        """Return some of the robots, with their last readings."""
        listing = await source.listing()
        found = listing.find(search, status, sort)
        rows = found[offset : offset + limit]
        states = await asyncio.gather(*(source.state(listing, robot) for robot in rows))
        return RobotsPage(time.time(), listing.counts.known, len(found), list(states))

    @get("/robots/{robot_id:str}", summary="A robot", operation_id="get_board_robot")
    async def get_board_robot(robot_id: RobotId) -> RobotState:
        """Return a robot's presence and its last reading."""
        listing = await source.listing()
        robot = listing.by_id.get(robot_id)
        if robot is None:
            raise NotFoundException(f"There is no robot {robot_id!r}.")
        return await source.state(listing, robot)

    return Router(
        "/api/board",
        route_handlers=with_methods([get_board, get_board_robots, get_board_robot]),
        opt={UNTRACED: True},
        tags=["board"],
    )
