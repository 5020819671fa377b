"""Closes the connections that a dead instance has left open: once, by one instance."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis

from charter_otel.redis.bad_entries import BadEntries
from charter_otel.redis.script import Script
from charter_otel.telemetry.cluster.adoption import Adoption
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.orphans import (
    AdoptedConnection,
    Orphan,
    registered,
    unregistered,
)
from charter_otel.telemetry.cluster.shared_state import SharedState
from charter_otel.telemetry.connections import Connection

PAGE = 1_000
"""Connections that are read in one step, approximately."""

BATCH = 100
"""Connections that are closed at once; a moment's pause lets the event stream keep up."""

_PAUSE = 0.05

CloseLost = Callable[[Connection, float], Awaitable[None]]
"""Emits the closing event of another instance's connection, which ended at a Unix time."""

log = structlog.get_logger(__name__)


class Reaper:
    """Looks for orphans now and then, on one instance at a time.

    An orphan is *waiting* while its instance may still be about to join; it is *ripe* once the
    instance was declared lost, or after a lease. Then it is *unfinished* from its takeover
    until its end is published, so that the next look makes up for a failure in between.
    """

    def __init__(
        self,
        client: Redis,
        layout: ClusterKeys,
        membership: Membership,
        state: SharedState,
        close: CloseLost,
        *,
        adoption: Adoption,
    ) -> None:
        self._client: Any = client
        self._layout = layout
        self._membership = membership
        self._state = state
        self._adoption = adoption
        self._close = close
        self._orphans = Script(__package__, "orphans")
        self._absent = Script(__package__, "absent")
        self._take = Script(__package__, "take")
        self._bad = BadEntries("open_connection")
        self._waiting: dict[str, float] = {}
        """Orphans whose instance was not declared lost, and when they were first seen."""
        self._unfinished: dict[str, Orphan] = {}
        """Orphans that may be taken over already, but whose end is not wholly published."""

    async def reap(self) -> int:
        """Close the orphans unless another instance looks after them, and return how many."""
        closed = await self._close_all([*self._unfinished.values()])
        if await self._is_my_turn():
            closed += await self._look()
        else:
            self._waiting.clear()
        if closed:
            log.warning("closed the connections of an instance that died", connections=closed)
        return closed

    async def _look(self) -> int:
        closed, seen = 0, dict[str, float]()
        async for page in self._pages():
            ripe = [orphan for orphan in page if self._is_ripe(orphan, seen)]
            for start in range(0, len(ripe), BATCH):
                closed += await self._close_all(ripe[start : start + BATCH])
                await asyncio.sleep(_PAUSE)
        self._waiting = seen
        await self._adoption.look()
        return closed

    async def _is_my_turn(self) -> bool:
        """Return whether this instance looks for orphans; it keeps its turn while it lives."""
        key, me = self._layout.reaper, self._membership.id
        turn = max(1, round(self._membership.interval * 2_000))
        if await self._client.set(key, me, nx=True, px=turn):
            return True
        mine = await self._client.get(key) == me.encode()
        # A turn without an expiry, written by hand or restored, would last for ever.
        if mine or await self._client.pttl(key) < 0:
            return bool(await self._client.pexpire(key, turn)) and mine
        return False

    async def _pages(self) -> AsyncIterator[list[Orphan]]:
        layout = self._layout
        keys = [layout.open, layout.instances, layout.lost]
        async for found in self._scan(self._orphans, keys):
            yield list(self._read(registered, found))
        keys += [layout.owners, layout.presence, layout.offline]
        async for found in self._scan(self._absent, keys):
            yield list(self._read(unregistered, found))

    def _read(self, read: Callable[..., Orphan], found: Sequence[list[bytes]]) -> Iterator[Orphan]:
        for entry in found:
            with self._bad.skipped(entry[0]):
                yield read(*entry)

    async def _scan(self, find: Script, keys: list[str]) -> AsyncIterator[list[list[bytes]]]:
        cursor = b"0"
        while True:
            cursor, *found = await find(self._client, keys, cursor, PAGE)
            yield found
            if cursor == b"0":
                return

    def _is_ripe(self, orphan: Orphan, seen: dict[str, float]) -> bool:
        """Return whether the instance is dead for sure; one that just starts is not known yet."""
        if orphan.last_heartbeat is not None:
            return True
        since = seen[orphan.id] = self._waiting.get(orphan.id, time.monotonic())
        return time.monotonic() - since >= self._membership.lease

    async def _close_all(self, orphans: Sequence[Orphan]) -> int:
        """Take the orphans over and close them; a failed step is repeated next time."""
        if not orphans:
            return 0
        self._unfinished |= {orphan.id: orphan for orphan in orphans}
        claimed = zip(orphans, await self._claim(orphans), strict=True)
        taken = [
            AdoptedConnection.of(orphan, epoch, last_heartbeat)
            for orphan, (mine, epoch, last_heartbeat) in claimed
            if mine
        ]
        offline = [each.offline() for each in taken if each.epoch]
        await self._state.write(offline)
        for state in offline:
            self._adoption.expect(state.presence, state.presence["connection_id"])
        for each in taken:
            # A connection that the stream does not know as open has no closing event either.
            if each.orphan.value:
                await self._close(each.connection, each.ended)
        for orphan in orphans:
            del self._unfinished[orphan.id]
        return len(taken)

    async def _claim(self, orphans: Sequence[Orphan]) -> list[tuple[int, bytes, bytes]]:
        packed = msgspec.msgpack.encode(
            [(orphan.id, orphan.value.decode(), orphan.details.robot_id) for orphan in orphans]
        )
        layout = self._layout
        taken: list[tuple[int, bytes, bytes]] = await self._take(
            self._client,
            [layout.open, layout.instances, layout.owners, layout.presence],
            *(self._membership.id, packed),
        )
        return taken
