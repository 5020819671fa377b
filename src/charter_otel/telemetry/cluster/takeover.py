"""Takeover: finds a robot's newest connection among all instances."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec
from redis.asyncio import Redis

from charter_otel.redis.script import Script
from charter_otel.telemetry.cluster.claims import Claims
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.shared_state import adopt_reading
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Fleet

CLAIMS = 200
"""Robots that are claimed at once."""

_NOTICES_READ = 1_000
_NOTICES_KEPT = 3_600


class Takeover:
    """Claims robots for this instance, and learns of those that it lost to another one."""

    def __init__(self, client: Redis, layout: ClusterKeys, claims: Claims, fleet: Fleet) -> None:
        self._client: Any = client
        self._layout = layout
        self._claims = claims
        self._fleet = fleet
        self._script = Script(__package__, "claim")
        self._waiting: dict[str, Connection] = {}
        """By robot: its newest connection here, not claimed yet."""
        self._read: list[bytes] = []
        """Notices that have been read and may still be in Redis."""

    def __len__(self) -> int:
        """Return the number of robots to be claimed."""
        return len(self._waiting)

    def add(self, connection: Connection) -> None:
        """Queue the connection's robot for a claim; an older connection of the robot drops out."""
        self._waiting[connection.robot_id] = connection

    async def claim(self, member: Membership) -> list[Connection]:
        """Claim robots, and return the connections that turned out not to be the newest."""
        claimed = list(islice(self._waiting.values(), CLAIMS))
        if not claimed:
            return []
        claims = [
            (c.robot_id, c.id, member.on_common_clock(c.opened), self._claims.of(c).earlier)
            for c in claimed
        ]
        epochs = await self._script(
            self._client,
            [self._layout.owners, self._layout.readings],
            *(member.id, self._layout.notices, _NOTICES_KEPT, msgspec.msgpack.encode(claims)),
            member.server,
        )
        if not epochs:
            # Another server has taken over, and the next heartbeat learns of it.
            return []
        for connection, (epoch, reading) in zip(claimed, epochs, strict=True):
            self._claims.of(connection).epoch = epoch.decode()
            self._learn(connection, reading)
            if self._waiting.get(connection.robot_id) is connection:
                del self._waiting[connection.robot_id]
        return [connection for connection in claimed if not self._claims.of(connection).epoch]

    async def lost(self, instance: str) -> Sequence[str]:
        """Return the ids of connections that newer ones on other instances supersede."""
        key = self._layout.notices + instance
        async with self._client.pipeline(transaction=True) as pipeline:
            # Remove by text, not by number: a lost answer is requested again.
            for notice in self._read:
                pipeline.lrem(key, 0, notice)
            pipeline.lrange(key, 0, _NOTICES_READ - 1)
            *_, notices = await pipeline.execute()
        self._read = notices
        return [notice.decode() for notice in notices]

    def _learn(self, connection: Connection, reading: bytes) -> None:
        robot = self._fleet.get(connection.robot_id)
        if reading and robot is not None and robot.connection is connection:
            adopt_reading(robot, connection, reading)

    def forget(self, connection: Connection) -> None:
        """Claim nothing for this connection any more."""
        if self._waiting.get(connection.robot_id) is connection:
            del self._waiting[connection.robot_id]

    def reset_notices(self) -> None:
        """Forget the notices that were read: the instance has a new name."""
        self._read = []
