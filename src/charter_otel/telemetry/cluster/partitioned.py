"""Instances that share a partitioned stream: each partition holds the state of its robots."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from charter_otel.redis.slots import partition_of
from charter_otel.telemetry.cluster.local import LocalPresence
from charter_otel.telemetry.cluster.register import ConnectionRegister
from charter_otel.telemetry.cluster.shared import SharedPresence
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet


class Partition(NamedTuple):
    """A partition, and the connections of its robots here."""

    connections: Connections
    """The open connections; only this partition changes them."""
    presence: SharedPresence
    """Shares them with the other instances."""


class PartitionedPresence(LocalPresence):
    """Instances that share several partitions. A robot and its events always belong to one of them.

    Register, presence and takeover of a robot lie in the slot of its partition, because one script
    moves them together. An instance sends a heartbeat in each partition.
    """

    def __init__(self, fleet: Fleet, partitions: Sequence[Partition]) -> None:
        super().__init__(fleet)
        self.register = ConnectionRegister(self._owner)
        self._partitions = partitions

    async def start(self) -> None:
        """Begin to work together; Redis need not be reachable."""
        await asyncio.gather(*(partition.presence.start() for partition in self._partitions))

    async def stop(self) -> None:
        """Share the changes that the other instances do not know yet, and leave."""
        await asyncio.gather(*(partition.presence.stop() for partition in self._partitions))

    def opened(self, connection: Connection) -> None:
        """Claim the robot and share its presence."""
        partition = self._of(connection.robot_id)
        partition.connections.add(connection)
        partition.presence.opened(connection)

    def closed(self, connection: Connection) -> None:
        """Share the robot's presence, unless another instance has a newer one."""
        partition = self._of(connection.robot_id)
        partition.connections.remove(connection)
        partition.presence.closed(connection)

    async def owns_close(self, connection: Connection) -> bool:
        """Return whether no other instance emits the closing event."""
        return await self._of(connection.robot_id).presence.owns_close(connection)

    @property
    def members(self) -> int:
        """Number of live instances that this one knows, itself included."""
        return max(partition.presence.members for partition in self._partitions)

    async def robots(self) -> list[dict[str, Any]]:
        """Return the shared presence; for robots connected here, this instance's own."""
        partitions = await asyncio.gather(
            *(partition.presence.everywhere() for partition in self._partitions)
        )
        return self._with_own(
            {name: entry for partition in partitions for name, entry in partition.items()}
        )

    async def reading(self, robot_id: str) -> dict[str, Any] | None:
        """Return the newest reading that any instance has taken."""
        return await self._of(robot_id).presence.reading(robot_id)

    def _of(self, robot_id: str) -> Partition:
        return self._partitions[partition_of(robot_id, len(self._partitions))]

    def _owner(self, connection_id: str) -> tuple[str, float] | None:
        owners = (partition.presence.owner(connection_id) for partition in self._partitions)
        return next((owner for owner in owners if owner is not None), None)
