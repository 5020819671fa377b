"""The robots as the board requests them: counted, searched and sorted here, a page at a time."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

Presence = Mapping[str, Any]
"""The data of a robot, as `GET /api/telemetry/robots` has it."""

Sort = Literal["attention", "robot_id", "last_seen", "connected"]
"""Orders of the robots: those that left last first, by name, by last frame, by connection."""

Wanted = Literal["all", "online", "offline", "trouble"]

TROUBLE = ("low_battery", "high_cpu", "flapping", "lost")
"""The conditions that need attention, as the metrics count them."""

Conditions = Mapping[str, Collection[str]]
"""Ids of the robots in each condition, on this instance."""

FRESH_FOR = 0.5
"""Minimum seconds for which a listing is reused."""

_WORTH = 40
"""A listing is reused for this many times the time that it took to make."""


class Robots(Protocol):
    """The source of the robots: one instance, or all that share a Redis."""

    @property
    def members(self) -> int:
        """Number of these instances."""

    async def robots(self) -> list[dict[str, Any]]:
        """Return the presence of every known robot."""

    async def reading(self, robot_id: str) -> dict[str, Any] | None:
        """Return a robot's last reading and when it was taken."""


class FleetCounts(Struct, frozen=True):
    """The number of robots in each state."""

    known: int
    online: int
    offline: int
    reasons: dict[str, int]
    """Close reasons of the offline robots, and the number of robots for each."""


class Listing:
    """All robots at one moment; each order is computed on first use."""

    def __init__(self, robots: Sequence[Presence], conditions: Conditions) -> None:
        self.trouble = {name: frozenset(conditions.get(name, ())) for name in TROUBLE}
        self.by_id = {robot["robot_id"]: robot for robot in robots}
        offline = [robot for robot in robots if robot["status"] != "online"]
        reasons = Counter(str(robot["last_reason"]) for robot in offline)
        self.counts = FleetCounts(
            len(robots), len(robots) - len(offline), len(offline), dict(reasons.most_common())
        )
        self._robots = robots
        self._orders: dict[Sort, list[Presence]] = {}

    @property
    def in_trouble(self) -> int:
        """Number of robots in any condition; a robot may be in several."""
        return len(frozenset[str]().union(*self.trouble.values()))

    def conditions(self, robot_id: str) -> list[str]:
        """Return the conditions of a robot."""
        return [name for name, ids in self.trouble.items() if robot_id in ids]

    def find(self, search: str, status: Wanted, sort: Sort) -> list[Presence]:
        """Return the robots with the text in their ids or labels, in an order."""
        robots = self._order(sort)
        if status == "trouble":
            robots = [robot for robot in robots if self.conditions(robot["robot_id"])]
        elif status != "all":
            robots = [robot for robot in robots if robot["status"] == status]
        if search:
            text = search.casefold()
            robots = [robot for robot in robots if _holds(robot, text)]
        return robots

    def _order(self, sort: Sort) -> list[Presence]:
        if sort not in self._orders:
            self._orders[sort] = sorted(self._robots, key=_KEYS[sort])
        return self._orders[sort]


class FleetView:
    """Lists the robots for all readers, and reuses a listing while it is fresh."""

    def __init__(
        self,
        get_robots: Callable[[], Robots],
        get_conditions: Callable[[], Conditions],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get_robots = get_robots
        self._get_conditions = get_conditions
        self._clock = clock
        self._lock = asyncio.Lock()
        self._listing = Listing((), {})
        self._good_until = float("-inf")

    async def listing(self) -> Listing:
        """Return the robots as they are now or were a moment ago."""
        async with self._lock:
            begun = self._clock()
            if begun >= self._good_until:
                robots = await self._get_robots().robots()
                self._listing = Listing(robots, self._get_conditions())
                ended = self._clock()
                self._good_until = ended + max(FRESH_FOR, _WORTH * (ended - begun))
            return self._listing


def _holds(robot: Presence, text: str) -> bool:
    labels = robot.get("labels", {}).values()
    return any(text in value.casefold() for value in (robot["robot_id"], *labels))


def _attention(robot: Presence) -> tuple[bool, float, str]:
    online = robot["status"] == "online"
    return online, 0.0 if online else -(robot["disconnected_at"] or 0.0), robot["robot_id"]


def _latest(field: str) -> Callable[[Presence], tuple[float, str]]:
    return lambda robot: (-(robot[field] or 0.0), robot["robot_id"])


_KEYS: dict[Sort, Callable[[Presence], Any]] = {
    "attention": _attention,
    "robot_id": lambda robot: robot["robot_id"],
    "last_seen": _latest("last_seen_at"),
    "connected": _latest("connected_at"),
}
