"""Instances that share a Redis: one task in each exchanges their state."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis

from charter_otel.aio import Backoff, describe, end, spawn
from charter_otel.charter import CloseReason
from charter_otel.otel.trace_context import traceparent
from charter_otel.redis.errors import FAILURES
from charter_otel.telemetry.cluster.adoption import Adoption
from charter_otel.telemetry.cluster.changes import Changes
from charter_otel.telemetry.cluster.claims import Claims
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.local import LocalPresence
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.reaper import CloseLost, Reaper
from charter_otel.telemetry.cluster.register import ConnectionRegister, Details, entry
from charter_otel.telemetry.cluster.shared_state import SharedState
from charter_otel.telemetry.cluster.takeover import Takeover
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet

LEASE = 15.0
"""Seconds for which an instance's heartbeat is valid."""

_PAUSE = 0.1
_LEASE_KNOWN_WITHIN = 2.0
_STOP_WITHIN = 1.0
_REGISTERED_AT_ONCE = 500
_LOOKED_AFTER = 1_000
"""Robots that left here and are looked up at once, in case they are at another instance."""

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class SharedPresence(LocalPresence):
    """Shares presence and readings, gives each robot one owner, and closes orphans.

    Args:
        client: A client that gives bytes; `stop` closes it.
        fleet: The robots of this instance.
        connections: Its open connections.
        close: Emits the closing event of a dead instance's connection.
        lease: Seconds for which a heartbeat is valid.
        prefix: The beginning of all keys. Its braces keep them in one slot of a cluster.
    """

    def __init__(
        self,
        client: Redis,
        fleet: Fleet,
        connections: Connections,
        close: CloseLost,
        *,
        lease: float = LEASE,
        prefix: str = "{charter}",
    ) -> None:
        super().__init__(fleet)
        self.register = ConnectionRegister(self.owner)
        layout = self._layout = ClusterKeys(prefix)
        self._client: Any = client
        self._connections = connections
        self._membership = Membership(client, layout, lease)
        self._claims = Claims()
        self._takeover = Takeover(client, layout, self._claims, fleet)
        self._changes = Changes(fleet, connections, self._claims)
        self._state = SharedState(client, layout)
        self._adoption = Adoption(client, layout, self._membership, fleet)
        self._reaper = Reaper(
            client, layout, self._membership, self._state, close, adoption=self._adoption
        )
        self._pause = min(_PAUSE, lease / 10)
        self._moved: set[str] = set()
        """Connections whose robots have newer ones on other instances."""
        self._after = 0
        """Number of robots that left here and have been looked up in this round."""
        self._joined = False
        """Whether this instance has joined under its present name."""
        self.connected = False
        """Whether the last exchange with the others worked."""
        self._tasks: list[asyncio.Task[None]] = []

    def owner(self, connection_id: str) -> tuple[str, float] | None:
        """Return the holder of a connection and since when, or None if none holds it any more."""
        connection = self._connections.get(connection_id)
        if connection is None:
            return None
        return self._claims.of(connection).owner, self._membership.on_common_clock(
            connection.opened
        )

    async def start(self) -> None:
        """Begin to work together; Redis need not be reachable."""
        self._tasks = [
            spawn(self._keep_on(self._exchange, self._pause), "charter instances"),
            spawn(self._keep_on(self._reap, self._membership.interval), "charter reaper"),
        ]

    async def stop(self) -> None:
        """Share the changes that are still to be shared, and leave, within a second."""
        for task in self._tasks:
            await end(task, time.monotonic())
        self._tasks.clear()
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(_STOP_WITHIN if self.connected else 0):
                left = math.inf
                # Redis takes no claims if it was replaced since the last heartbeat.
                while 0 < len(self._takeover) < left:
                    left = len(self._takeover)
                    await self._takeover.claim(self._membership)
                while await self._share():
                    pass
                await self._membership.leave()
        await self._client.aclose()

    def opened(self, connection: Connection) -> None:
        """Claim the robot and share its presence."""
        self._claims.of(connection).owner = self._membership.id
        self._takeover.add(connection)
        self._changes.mark(connection)

    def closed(self, connection: Connection) -> None:
        """Share the robot's presence, unless another instance has a newer one."""
        moved = connection.id in self._moved
        self._moved.discard(connection.id)
        if moved or self._is_lost(connection):
            self._fleet.forget(connection)
        else:
            self._changes.mark(connection)

    async def owns_close(self, connection: Connection) -> bool:
        """Return whether no other instance emits the closing event."""
        await self._membership.settled(_LEASE_KNOWN_WITHIN)
        return not self._is_lost(connection)

    @property
    def members(self) -> int:
        """Number of live instances that this one knows, itself included."""
        return self._membership.others + 1

    async def robots(self) -> list[dict[str, Any]]:
        """Return the shared presence; for robots connected here, this instance's own."""
        return self._with_own(await self.everywhere())

    async def everywhere(self) -> dict[str, dict[str, Any]]:
        """Return the presence of all robots in Redis, by their ids; nothing while it is away."""
        return await self._ask(self._state.presence) or {}

    async def reading(self, robot_id: str) -> dict[str, Any] | None:
        """Return the newest reading that any instance has taken.

        It is this instance's if the robot sends here, or did last and its state is still to be
        shared. Otherwise it is the shared one.
        """
        here = await super().reading(robot_id)
        robot = self._fleet.get(robot_id)
        if here and robot and robot.reading_from == robot.connection_id:
            known_best_here = robot.online or self._changes.pending(robot_id)
            if known_best_here:
                return here
        return await self._ask(lambda: self._state.reading(robot_id)) or here

    async def _ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Ask Redis, unless it is known to be away, so that no reader waits for long."""
        if not self.connected:
            return None
        try:
            return await question()
        except FAILURES:
            return None

    async def _keep_on(self, work: Callable[[], Awaitable[None]], pause: float) -> None:
        """Work again and again until cancelled; an outage is logged once."""
        backoff = Backoff(pause, max(pause, self._membership.interval))
        while True:
            try:
                await work()
            except FAILURES as error:
                self._lost(error)
                await asyncio.sleep(backoff.next())
            except Exception:
                log.exception("work for the other instances failed")
                await asyncio.sleep(backoff.next())
            else:
                backoff.reset()
                await asyncio.sleep(pause)

    def _lost(self, error: BaseException) -> None:
        if self.connected:
            log.warning("instances cannot share presence", error=describe(error))
        self.connected = False

    def _found(self) -> None:
        if not self.connected:
            log.info("instances share presence", instance=self._membership.id)
        self.connected = True

    async def _exchange(self) -> None:
        """Send a heartbeat, claim robots, learn of lost ones, share changes."""
        if (self._membership.due or not self.connected) and not await self._renew():
            return
        self._end([connection.id for connection in await self._takeover.claim(self._membership)])
        self._end(await self._takeover.lost(self._membership.id))
        await self._share()
        self._found()

    async def _renew(self) -> bool:
        """Keep the lease, and return whether the instance has it."""
        renewal = await self._membership.renew()
        if renewal == "lost":
            self._drop_lost_connections()
            return False
        if renewal == "joined" and self._joined:
            await self._publish_all()
        self._joined = True
        return True

    def _drop_lost_connections(self) -> None:
        """Close the connections that others have declared lost: those emit the closing events."""
        self._joined = False
        self._takeover.reset_notices()
        lost = [c for c in self._connections if self._is_lost(c)]
        log.warning("this instance was declared lost while it slept", connections=len(lost))
        for connection in lost:
            self._changes.forget(connection)
            self._takeover.forget(connection)
            connection.end(CloseReason.SERVER_LOST)

    async def _publish_all(self) -> None:
        """Share everything anew: Redis has lost what it knew."""
        connections = [c for c in self._connections if not self._is_lost(c)]
        for connection in connections:
            self._claims.of(connection).renew()
            self._takeover.add(connection)
            self._changes.mark(connection)
        for start in range(0, len(connections), _REGISTERED_AT_ONCE):
            await self._register(connections[start : start + _REGISTERED_AT_ONCE])
        await self._state.again()

    async def _register(self, connections: Sequence[Connection]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for c in connections:
                accepted = self._membership.on_common_clock(c.opened)
                details = Details(c.robot_id, c.connected_at, traceparent(c.handshake), accepted)
                pipeline.hsetnx(self._layout.open, c.id, entry(self._claims.of(c).owner, details))
            await pipeline.execute()
        # A connection that closed meanwhile may have left the register before it came in.
        if gone := [c.id for c in connections if self._connections.get(c.id) is None]:
            await self._client.hdel(self._layout.open, *gone)

    def _is_lost(self, connection: Connection) -> bool:
        """Return whether others have declared lost the instance that accepted the connection."""
        return self._membership.is_lost(self._claims.of(connection).owner)

    def _end(self, superseded: Iterable[str]) -> None:
        for connection_id in superseded:
            connection = self._connections.get(connection_id)
            if connection is not None:
                self._moved.add(connection_id)
                connection.end(CloseReason.SUPERSEDED)

    async def _share(self) -> bool:
        """Share a batch of changes, and return whether there was one."""
        changes = self._changes.take()
        try:
            await self._state.write([change.state for change in changes])
        except BaseException:
            self._changes.give_back(changes)
            raise
        self._changes.published(changes)
        return bool(changes)

    async def _forget_moved(self) -> None:
        """Forget robots that left here and are another instance's: each is counted once."""
        gone = [robot for robot in self._fleet.gone() if not self._changes.pending(robot.robot_id)]
        self._after = self._after if self._after < len(gone) else 0
        asked = gone[self._after : self._after + _LOOKED_AFTER]
        self._after += _LOOKED_AFTER
        owners = await self._state.owners([robot.robot_id for robot in asked])
        for robot in asked:
            owner = owners.get(robot.robot_id, self._membership.id)
            if owner != self._membership.id and not self._membership.is_lost(owner):
                self._fleet.forget_gone(robot)

    async def _reap(self) -> None:
        """Look after what dead instances left, if this one itself is alive for sure."""
        if self._membership.valid:
            await self._membership.declare_lost()
            await self._reaper.reap()
            await self._adoption.adopt(self._changes.pending)
            await self._forget_moved()
