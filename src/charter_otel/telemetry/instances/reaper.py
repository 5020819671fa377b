"""Closes what a dead instance has left open: once, by whichever instance comes first."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from redis.asyncio import Redis

from charter_otel.charter import CloseReason
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.instances.layout import Layout, script
from charter_otel.telemetry.instances.membership import Membership
from charter_otel.telemetry.instances.register import Details, read_entry
from charter_otel.telemetry.instances.state import SharedState, State
from charter_otel.telemetry.spans import remote

PAGE = 1_000
"""Connections that are looked at, about, in one step."""

BATCH = 100
"""Connections that are closed at once; a moment's pause lets the event stream keep up."""

_PAUSE = 0.05

CloseLost = Callable[[Connection, float], Awaitable[None]]
"""Emits the closing event of another instance's connection, which ended at a Unix time."""

log = structlog.get_logger(__name__)


class Orphan(NamedTuple):
    """An open connection whose instance is not there."""

    id: str
    value: bytes
    """Its entry in the register."""
    details: Details
    last_beat: float | None
    """Unix seconds of its instance's last sign of life; None where it was not declared lost."""


class Reaper:
    """Looks for orphans now and then, on one instance at a time.

    Args:
        client: A client that gives bytes.
        layout: The keys.
        membership: This instance's.
        state: Where the robots' presence is told.
        close: Emits the closing event.
    """

    def __init__(
        self,
        client: Redis,
        layout: Layout,
        membership: Membership,
        state: SharedState,
        close: CloseLost,
    ) -> None:
        self._client: Any = client
        self._layout = layout
        self._membership = membership
        self._state = state
        self._close = close
        self._find = self._client.register_script(script("orphans"))
        self._take = self._client.register_script(script("take"))
        self._waiting: dict[str, float] = {}
        """Orphans whose instance was not declared lost, and since when they are seen."""

    async def reap(self) -> int:
        """Close the orphans unless another instance looks after them, and say how many."""
        if not await self._is_my_turn():
            self._waiting.clear()
            return 0
        closed, seen = 0, dict[str, float]()
        async for page in self._pages():
            ripe = [orphan for orphan in page if self._is_ripe(orphan, seen)]
            for start in range(0, len(ripe), BATCH):
                closed += await self._close_all(ripe[start : start + BATCH])
                await asyncio.sleep(_PAUSE)
        self._waiting = seen
        if closed:
            log.warning("closed the connections of an instance that died", connections=closed)
        return closed

    async def _is_my_turn(self) -> bool:
        """Tell whether this instance looks; it keeps that up while it lives."""
        key, me = self._layout.reaper, self._membership.id
        turn = max(1, round(self._membership.beat * 2_000))
        if await self._client.set(key, me, nx=True, px=turn):
            return True
        if await self._client.get(key) != me.encode():
            return False
        return bool(await self._client.pexpire(key, turn))

    async def _pages(self) -> AsyncIterator[list[Orphan]]:
        keys = [self._layout.open, self._layout.instances, self._layout.lost]
        cursor = b"0"
        while True:
            cursor, *found = await self._find(keys=keys, args=[cursor, PAGE])
            yield [orphan for entry in found if (orphan := _orphan(*entry)) is not None]
            if cursor == b"0":
                return

    def _is_ripe(self, orphan: Orphan, seen: dict[str, float]) -> bool:
        """Tell whether the instance is dead for sure; one that just starts is not known yet."""
        if orphan.last_beat is not None:
            return True
        since = seen[orphan.id] = self._waiting.get(orphan.id, time.monotonic())
        return time.monotonic() - since >= self._membership.lease

    async def _close_all(self, orphans: Sequence[Orphan]) -> int:
        packed = msgspec.msgpack.encode(
            [(orphan.id, orphan.value.decode(), orphan.details.robot_id) for orphan in orphans]
        )
        layout = self._layout
        taken = await self._take(
            keys=[layout.open, layout.instances, layout.owners, layout.presence],
            args=[self._membership.id, packed],
        )
        states = []
        for orphan, (mine, epoch, presence) in zip(orphans, taken, strict=True):
            if mine:
                connection, ended = _recalled(orphan, presence)
                await self._close(connection, ended)
                states += [_offline(connection, ended, epoch.decode())] if epoch else []
        await self._state.write(states)
        return sum(mine for mine, *_ in taken)


def _orphan(id_: bytes, value: bytes, last_beat: bytes) -> Orphan | None:
    try:
        details = read_entry(value)
    except msgspec.MsgspecError:
        return None
    return Orphan(id_.decode(), value, details, float(last_beat) if last_beat else None)


def _recalled(orphan: Orphan, presence: bytes) -> tuple[Connection, float]:
    """Give the connection as far as it is known, and when it was last seen, in Unix seconds."""
    details, frames = orphan.details, 0
    seen = orphan.last_beat or details.connected_at
    known = msgspec.json.decode(presence) if presence else {}
    if known.get("connection_id") == orphan.id:
        seen, frames = known.get("last_seen_at") or seen, known.get("frames", 0)
    connection = Connection(details.robot_id, remote(details.traceparent))
    seen = max(seen, details.connected_at)
    connection.recall(orphan.id, details.connected_at, seen - details.connected_at, frames)
    return connection, seen


def _offline(connection: Connection, ended: float, epoch: str) -> State:
    presence = {
        "robot_id": connection.robot_id,
        "status": "offline",
        "connection_id": connection.id,
        "connected_at": connection.connected_at,
        "last_seen_at": ended,
        "disconnected_at": ended,
        "last_reason": CloseReason.SERVER_LOST.value,
    }
    return State(connection.robot_id, epoch, presence)
