"""The known robots: their presence and last readings."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from charter_otel.charter import CloseReason, is_simulated
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.frames import Frame
from charter_otel.telemetry.labels import NO_LABELS, AllowedLabels, Labels, short
from charter_otel.thresholds import Flaps, Thresholds

KNOWN_ROBOTS = 100_000
"""Robots that an instance remembers; beyond it, the one that has been offline longest goes."""

_SERVICES_OWN = frozenset(
    {
        CloseReason.SERVER_SHUTDOWN,
        CloseReason.SERVER_ERROR,
        CloseReason.SERVER_LOST,
        CloseReason.TOKEN_EXPIRED,
    }
)
"""Close reasons that do not show how stable a robot is."""


class Lateness(NamedTuple):
    """Late readings of a robot, since when no newer one has come."""

    offset: float
    """The robot's clock less this process's monotonic one, at the first of them."""
    since: float
    """Time of the first, of the monotonic clock."""


class Robot:
    """A robot as this instance knows it."""

    __slots__ = (
        "adopted",
        "arrived_at",
        "clock_is_behind",
        "connected_at",
        "connection",
        "connection_id",
        "disconnected_at",
        "flaps",
        "labels",
        "last_reason",
        "lateness",
        "reading",
        "reading_from",
        "robot_id",
        "seen_at",
        "updated_at",
    )

    def __init__(self, robot_id: str) -> None:
        self.robot_id = robot_id
        self.connection: Connection | None = None
        self.connection_id: str | None = None
        self.connected_at: float | None = None
        self.seen_at: float | None = None
        self.disconnected_at: float | None = None
        self.last_reason: CloseReason | None = None
        self.flaps: Flaps | None = None
        """The robot's recent departures; None if it never left."""
        self.labels: Labels = NO_LABELS
        """The labels of its last connection."""
        self.adopted = False
        """Whether it left at another instance, which is gone, and is offline since."""
        self.reading: Frame | None = None
        """The newest reading."""
        self.reading_from: str | None = None
        """The connection that it came over."""
        self.updated_at = 0.0
        """Its time, in Unix seconds: the robot's own ``timestamp`` if that can be right."""
        self.arrived_at = 0.0
        """Unix seconds at which it arrived here."""
        self.lateness: Lateness | None = None
        self.clock_is_behind = False
        """Whether the robot's clock was set back, and still is."""

    @property
    def online(self) -> bool:
        """Whether the robot holds a connection."""
        return self.connection is not None

    @property
    def simulated(self) -> bool:
        """Whether its newest connection is a simulated robot's."""
        return self.connection_id is not None and is_simulated(self.connection_id)

    def talked_on(self, connection: Connection) -> bool:
        """Return whether the newest reading came over the connection."""
        return self.reading_from == connection.id

    def presence(self) -> dict[str, Any]:
        """Return the robot's entry in `GET /api/telemetry/robots`."""
        return {
            "robot_id": self.robot_id,
            "status": "online" if self.connection else "offline",
            "connection_id": self.connection_id,
            "connected_at": self.connected_at,
            "last_seen_at": self.connection.last_seen_at if self.connection else self.seen_at,
            "disconnected_at": self.disconnected_at,
            "last_reason": self.last_reason,
            **({"labels": short(self.labels)} if self.labels else {}),
        }

    def metrics(self) -> dict[str, float]:
        """Return the last reading as the specification's ``metrics``.

        Raises:
            LookupError: The robot has sent none yet.
        """
        if self.reading is None:
            raise LookupError(f"{self.robot_id} has sent no reading yet")
        return {
            "cpu_usage": self.reading.cpu_usage,
            "memory_usage": self.reading.memory_usage,
            "network_latency_ms": self.reading.network_latency_ms,
            "battery_percentage": self.reading.battery_percentage,
        }


class Fleet:
    """The robots that this instance knows, in the order of their first connections.

    Args:
        capacity: The greatest number that it remembers.
        thresholds: The limits of the conditions of robots.
        labels: The labels that adopted robots may have.
    """

    def __init__(
        self,
        capacity: int = KNOWN_ROBOTS,
        thresholds: Thresholds | None = None,
        labels: AllowedLabels | None = None,
    ) -> None:
        self.labels = labels or AllowedLabels()
        self.thresholds = thresholds or Thresholds()
        self._robots: dict[str, Robot] = {}
        self._offline: dict[str, None] = {}
        """Offline robots, longest first; a dict keeps the order."""
        self._capacity = capacity

    def __len__(self) -> int:
        """Return the number of known robots."""
        return len(self._robots)

    def __iter__(self) -> Iterator[Robot]:
        """Go through the known robots."""
        return iter(list(self._robots.values()))

    @property
    def offline(self) -> int:
        """Number of known robots that hold no connection."""
        return len(self._offline)

    def gone(self) -> Iterator[Robot]:
        """Iterate over the robots that hold no connection, those that left last first."""
        for robot_id in reversed(list(self._offline)):
            if (robot := self._robots.get(robot_id)) is not None:
                yield robot

    def get(self, robot_id: str) -> Robot | None:
        """Return a known robot."""
        return self._robots.get(robot_id)

    def connected(self, connection: Connection) -> Robot:
        """Record that a robot is online."""
        robot = self._robots.get(connection.robot_id)
        if robot is None:
            self._make_room()
            robot = self._robots[connection.robot_id] = Robot(connection.robot_id)
        self._offline.pop(robot.robot_id, None)
        robot.adopted = False
        robot.connection = connection
        robot.connection_id = connection.id
        robot.connected_at = connection.connected_at
        robot.labels = connection.labels
        robot.disconnected_at = None
        return robot

    def disconnected(self, connection: Connection, reason: CloseReason, at: float) -> None:
        """Record that a robot is offline, unless it has a newer connection."""
        robot = self._robots.get(connection.robot_id)
        if robot is None:
            return
        if reason not in _SERVICES_OWN:
            # A superseded one counts too: two robots of one id take turns for ever.
            robot.flaps = robot.flaps or Flaps(self.thresholds.flap_half_life)
            robot.flaps.add(time.monotonic())
        if robot.connection is not connection:
            return
        robot.connection = None
        robot.seen_at = connection.last_seen_at
        robot.disconnected_at = at
        robot.last_reason = reason
        self._offline[robot.robot_id] = None

    def adopt(self, presence: dict[str, Any]) -> None:
        """Record a robot that left at an instance which is gone, unless it is online here.

        Raises:
            KeyError, ValueError: The presence makes no sense here; nothing is recorded.
        """
        reason, at = CloseReason(presence["last_reason"]), presence["disconnected_at"]
        labels = self.labels.choose(presence.get("labels") or {})
        robot = self._robots.get(presence["robot_id"])
        if robot is None:
            self._make_room()
            robot = self._robots[presence["robot_id"]] = Robot(presence["robot_id"])
        elif robot.online:
            return
        robot.adopted = True
        robot.connection_id = presence["connection_id"]
        robot.connected_at = presence["connected_at"]
        robot.seen_at = presence["last_seen_at"]
        robot.disconnected_at = at
        robot.last_reason = reason
        robot.labels = labels
        self._offline[robot.robot_id] = None

    def forget(self, connection: Connection) -> None:
        """Forget a robot whose last connection here was this one: others have newer state."""
        robot = self._robots.get(connection.robot_id)
        if robot is not None and robot.connection is None and robot.connection_id == connection.id:
            del self._offline[robot.robot_id], self._robots[robot.robot_id]

    def forget_gone(self, robot: Robot) -> None:
        """Forget a robot that left, unless it is back."""
        if robot.robot_id in self._offline:
            del self._offline[robot.robot_id], self._robots[robot.robot_id]

    def _make_room(self) -> None:
        if len(self._robots) >= self._capacity and self._offline:
            longest = next(iter(self._offline))
            del self._offline[longest], self._robots[longest]
