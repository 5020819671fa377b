"""Instances that share a partitioned stream: each partition holds the state of its robots."""

import asyncio
from collections.abc import Sequence
from typing import Any

from charter_otel.redis.slots import partition_of
from charter_otel.telemetry.cluster.local import LocalPresence
from charter_otel.telemetry.cluster.register import ConnectionRegister
from charter_otel.telemetry.cluster.shared import SharedPresence
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet


class Partition:
    """A partition, and the connections of its robots here.

    Args:
        connections: The open connections; only this partition changes them.
        together: Shares them with the other instances.
    """

    def __init__(self, connections: Connections, together: SharedPresence) -> None:
        self.connections = connections
        self.together = together


class PartitionedPresence(LocalPresence):
    """Instances that share several partitions. A robot and its events always belong to one of them.

    Register, presence and takeover of a robot lie in the slot of its partition, because one script
    moves them together. An instance sends a heartbeat in each partition.

    Args:
        fleet: The robots of this instance.
        parts: The partitions, in order.
    """

    def __init__(self, fleet: Fleet, parts: Sequence[Partition]) -> None:
        super().__init__(fleet)
        self.register = ConnectionRegister(self._owner)
        self._parts = parts

    async def start(self) -> None:
        """Begin to work together; Redis need not be reachable."""
        await asyncio.gather(*(part.together.start() for part in self._parts))

    async def stop(self) -> None:
        """Share the changes that the other instances do not know yet, and leave."""
        await asyncio.gather(*(part.together.stop() for part in self._parts))

    def opened(self, connection: Connection) -> None:
        """Claim the robot and share its presence."""
        part = self._of(connection.robot_id)
        part.connections.add(connection)
        part.together.opened(connection)

    def closed(self, connection: Connection) -> None:
        """Share the robot's presence, unless another instance has a newer one."""
        part = self._of(connection.robot_id)
        part.connections.remove(connection)
        part.together.closed(connection)

    async def owns_close(self, connection: Connection) -> bool:
        """Return whether no other instance emits the closing event."""
        return await self._of(connection.robot_id).together.owns_close(connection)

    async def robots(self) -> list[dict[str, Any]]:
        """Return the shared presence; for robots connected here, this instance's own."""
        parts = await asyncio.gather(*(part.together.everywhere() for part in self._parts))
        return self._with_own({name: told for part in parts for name, told in part.items()})

    async def reading(self, robot_id: str) -> dict[str, Any] | None:
        """Return the newest reading that any instance has taken."""
        return await self._of(robot_id).together.reading(robot_id)

    def _of(self, robot_id: str) -> Partition:
        return self._parts[partition_of(robot_id, len(self._parts))]

    def _owner(self, connection_id: str) -> tuple[str, float] | None:
        owners = (part.together.owner(connection_id) for part in self._parts)
        return next((owner for owner in owners if owner is not None), None)
