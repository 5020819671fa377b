"""The state of robots as all instances see it: presence and last readings."""

import re
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from charter_otel.redis.bad_entries import BadEntries
from charter_otel.redis.script import Script
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import KNOWN_ROBOTS, Robot
from charter_otel.telemetry.frames import Frame

BATCH = 200
"""Robots that are shared at once; few, because frames wait while a batch is put together."""

_PRESENCE_HAS = ("robot_id", "status", "connection_id", "connected_at", "last_seen_at")
_READING_HAS = ("robot_id", "updated_at")
_PAGE = 1_000
_LATEST = 2_000


class SharedRobotState(NamedTuple):
    """The shared state of a robot."""

    robot_id: str
    epoch: str
    """The epoch of the connection whose state it is."""
    presence: dict[str, Any]
    reading: dict[str, Any] | None = None


class SharedState:
    """Writes and reads the robots' state."""

    def __init__(self, client: Redis, layout: ClusterKeys, capacity: int = KNOWN_ROBOTS) -> None:
        self._client: Any = client
        self._layout = layout
        self._capacity = capacity
        self._share = Script(__package__, "share")
        self._bad_presence = BadEntries("presence")
        self._bad_readings = BadEntries("reading")
        self._offline: deque[SharedRobotState] = deque(maxlen=_LATEST)
        """States that ended a robot's presence: the latest, more than a second's."""

    async def write(self, states: Sequence[SharedRobotState]) -> int:
        """Write the states, and return how many were accepted."""
        accepted = await self._write(states)
        self._offline.extend(state for state in states if _is_offline(state))
        return accepted

    async def again(self) -> None:
        """Write again the robots that went offline last: they have no open connection any more."""
        states = list(self._offline)
        for start in range(0, len(states), BATCH):
            await self._write(states[start : start + BATCH])

    async def _write(self, states: Sequence[SharedRobotState]) -> int:
        if not states:
            return 0
        keys = [self._layout.presence, self._layout.readings, self._layout.owners]
        packed = msgspec.msgpack.encode([_packed(state) for state in states])
        accepted: int = await self._share(
            self._client, [*keys, self._layout.offline], self._capacity, packed
        )
        return accepted

    async def presence(self) -> dict[str, dict[str, Any]]:
        """Return the presence of every robot by its id."""
        found: dict[str, dict[str, Any]] = {}
        async for robot_id, presence in self._client.hscan_iter(self._layout.presence, count=_PAGE):
            with self._bad_presence.skipped(robot_id):
                found[robot_id.decode()] = shown(presence)
        return found

    async def owners(self, robot_ids: Sequence[str]) -> dict[str, str]:
        """Return the instance that has each robot, or had it last, by the robot's id."""
        if not robot_ids:
            return {}
        held = await self._client.hmget(self._layout.owners, robot_ids)
        found = ((name, _OWNER(entry or b"")) for name, entry in zip(robot_ids, held, strict=True))
        return {name: owner[1].decode() for name, owner in found if owner}

    async def reading(self, robot_id: str) -> dict[str, Any] | None:
        """Return a robot's newest reading."""
        reading = await self._client.hget(self._layout.readings, robot_id)
        if reading is None:
            return None
        readable: dict[str, Any] | None = None
        with self._bad_readings.skipped(robot_id.encode()):
            found = _READING(reading.partition(b" ")[2])
            readable = found if {*_READING_HAS} <= found.keys() else _lacking(found, _READING_HAS)
        return readable  # noqa: RET504 - None where the entry was skipped


def shown(presence: bytes) -> dict[str, Any]:
    """Return a robot's presence from its stored state."""
    state: dict[str, Any] = _PRESENCE(presence)
    state.pop("frames", None)
    return state if {*_PRESENCE_HAS} <= state.keys() else _lacking(state, _PRESENCE_HAS)


def _lacking(found: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    raise KeyError(min(set(wanted) - found.keys()))


def state_of(robot: Robot, connection: Connection, epoch: str) -> SharedRobotState:
    """Return the robot's state; the connection is its newest here, and has the epoch."""
    presence = {**robot.presence(), "frames": connection.frames}
    reading = None
    if robot.reading is not None and robot.talked_on(connection):
        timestamp = robot.reading.timestamp
        reading = {**robot.metrics(), "updated_at": robot.updated_at, "timestamp": timestamp}
    return SharedRobotState(robot.robot_id, epoch, presence, reading)


def adopt_reading(robot: Robot, connection: Connection, stored: bytes) -> None:
    """Learn the newest reading that another instance took, before this connection.

    Times of the robot's own clock are compared. A reading that another machine dated is older than
    any that comes over the newer connection: the clocks of two machines are never compared.
    """
    reading = _READING(stored)
    dated_by_robot = reading["timestamp"] == reading["updated_at"]
    if robot.reading is not None and robot.talked_on(connection):
        ours_dated_by_robot = robot.reading.timestamp == robot.updated_at
        is_older = robot.updated_at < reading["updated_at"]
        if not (dated_by_robot and ours_dated_by_robot and is_older):
            return
    robot.reading = msgspec.convert(reading, Frame) if dated_by_robot else None
    robot.updated_at = reading["updated_at"] if dated_by_robot else 0.0
    robot.reading_from = None


def _is_offline(state: SharedRobotState) -> bool:
    return bool(state.presence["status"] == "offline")


def _packed(state: SharedRobotState) -> tuple[str, ...]:
    offline = state.presence["disconnected_at"] if _is_offline(state) else None
    return (
        state.robot_id,
        state.epoch,
        _ENCODE(state.presence).decode(),
        _ENCODE({"robot_id": state.robot_id, **state.reading}).decode() if state.reading else "",
        "" if offline is None else repr(float(offline)),
    )


_ENCODE = msgspec.json.Encoder().encode
_PRESENCE = msgspec.json.Decoder(dict[str, Any]).decode
_OWNER = re.compile(rb"\d+ \S+ (\w+) \S+").fullmatch
_READING = msgspec.json.Decoder(dict[str, Any]).decode
