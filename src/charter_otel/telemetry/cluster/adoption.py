"""Adoption: offline robots of an instance that is gone are counted by one that lives."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from redis.asyncio import Redis

from charter_otel.charter import CloseReason
from charter_otel.redis.bad_entries import BadEntries
from charter_otel.redis.script import Script
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import REMEMBERED, Membership
from charter_otel.telemetry.cluster.shared_state import BATCH, shown
from charter_otel.telemetry.fleet import Fleet

WAITED_FOR = 4
"""Leases for which a robot is waited for that only left because its instance ended."""

_PAGE = 1_000
_INSTANCE_ENDED = {CloseReason.SERVER_SHUTDOWN, CloseReason.SERVER_LOST}


class Adoption:
    """Adopts robots, so that each offline robot is counted by exactly one instance.

    Args:
        client: A client that gives bytes.
        layout: The keys.
        membership: This instance's.
        fleet: The robots of this instance.
    """

    def __init__(
        self, client: Redis, layout: ClusterKeys, membership: Membership, fleet: Fleet
    ) -> None:
        self._client: Any = client
        self._layout = layout
        self._membership = membership
        self._fleet = fleet
        self._stranded = Script(__package__, "stranded")
        self._adopt = Script(__package__, "adopt")
        self._bad = BadEntries("presence")
        self._expected: dict[str, tuple[dict[str, Any], float]] = {}
        """By the robot's last connection: its presence, and until when it may come back."""

    def expect(self, presence: dict[str, Any], newest: str) -> None:
        """Adopt the robot with this presence, unless it comes back in time.

        Args:
            presence: The robot's.
            newest: Its last connection, of which an instance that was killed may have said no more.
        """
        ended = presence["last_reason"] in _INSTANCE_ENDED or newest != presence["connection_id"]
        wait = WAITED_FOR * self._membership.lease if ended else 0.0
        held = self._expected.get(newest)
        if held is None or held[0]["connection_id"] != presence["connection_id"]:
            self._expected[newest] = presence, time.monotonic() + wait

    async def look(self) -> None:
        """Look for robots whose instance is gone, among those that left within a day."""
        layout, cursor = self._layout, b"0"
        keys = [layout.offline, layout.instances, layout.owners, layout.presence]
        while True:
            cursor, *found = await self._stranded(self._client, keys, cursor, _PAGE, REMEMBERED)
            for robot_id, presence, newest in found:
                with self._bad.skipped(robot_id):
                    self.expect(shown(presence), newest.decode())
            if cursor == b"0":
                return

    async def adopt(self, is_unshared: Callable[[str], bool]) -> None:
        """Adopt the robots that did not come back in time.

        Args:
            is_unshared: Whether a robot came and left here, and the others do not know it yet: that
                is newer, and has to be shared first.
        """
        now = time.monotonic()
        late = [
            (newest, presence)
            for newest, (presence, until) in self._expected.items()
            if until <= now and not is_unshared(presence["robot_id"])
        ]
        for start in range(0, len(late), BATCH):
            await self._adopt_all(late[start : start + BATCH], is_unshared)

    async def _adopt_all(
        self, robots: list[tuple[str, dict[str, Any]]], is_unshared: Callable[[str], bool]
    ) -> None:
        names = [(presence["robot_id"], newest) for newest, presence in robots]
        layout, packed = self._layout, msgspec.msgpack.encode(names)
        keys = [layout.offline, layout.instances, layout.owners]
        adopted = await self._adopt(self._client, keys, self._membership.id, packed)
        for (newest, presence), mine in zip(robots, adopted, strict=True):
            del self._expected[newest]
            with self._bad.skipped(presence["robot_id"].encode()):
                # It may have come and left here while Redis was asked.
                if mine and not is_unshared(presence["robot_id"]):
                    self._fleet.adopt(presence)
