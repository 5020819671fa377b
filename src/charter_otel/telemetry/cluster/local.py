"""The interface of an instance to the others; here for a single instance."""

from typing import Any

from charter_otel.telemetry.cluster.register import ConnectionRegister
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Fleet


class LocalPresence:
    """A single instance: it has the whole state."""

    register: ConnectionRegister | None = None
    """Lets the stream keep the register of open connections."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def start(self) -> None:
        """Begin to work together; no other instance need be reachable."""

    async def stop(self) -> None:
        """Leave the others."""

    def opened(self, connection: Connection) -> None:
        """Record an accepted connection; waits for nothing."""

    def closed(self, connection: Connection) -> None:
        """Record a connection that ended; waits for nothing."""

    async def owns_close(self, connection: Connection) -> bool:
        """Return whether this instance is to emit the closing event.

        It waits only if the instance has slept for so long that the others may have declared it
        lost. Then it waits until that is known, for two seconds at most.
        """
        del connection
        return True

    @property
    def members(self) -> int:
        """Number of live instances that this one knows, itself included."""
        return 1

    async def robots(self) -> list[dict[str, Any]]:
        """Return the presence of every known robot."""
        return self._with_own({})

    async def reading(self, robot_id: str) -> dict[str, Any] | None:
        """Return a robot's last reading: its ``metrics`` and ``updated_at``."""
        robot = self._fleet.get(robot_id)
        if robot is None or robot.reading is None:
            return None
        return {**robot.metrics(), "updated_at": robot.updated_at}

    def _with_own(self, everywhere: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Override the presence of the robots that are connected here with this instance's own."""
        for robot in self._fleet:
            known = everywhere.get(robot.robot_id)
            if robot.online or known is None or known["connection_id"] == robot.connection_id:
                everywhere[robot.robot_id] = robot.presence()
        return list(everywhere.values())
