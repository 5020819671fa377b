"""The open connections: one for each robot, the newest wins."""

import asyncio
import math
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from charter_otel.charter import SIMULATED, CloseReason
from charter_otel.telemetry.labels import NO_LABELS


class Connection:
    """One robot's WebSocket, from accept to close.

    Args:
        robot_id: The robot.
        handshake: Span context of the handshake, whose trace the connection belongs to.
        expires_at: Unix seconds at which the robot's token expires, if it has one.
        labels: The robot's labels, by the names of their attributes.
        simulated: Whether the robot says that it is not a real one.
    """

    __slots__ = (
        "__weakref__",
        "_task",
        "checkpoint_at",
        "connected_at",
        "ending",
        "expires",
        "frames",
        "handshake",
        "id",
        "labels",
        "last_seen",
        "opened",
        "opened_ns",
        "readings",
        "robot_id",
    )

    def __init__(
        self,
        robot_id: str,
        handshake: SpanContext = INVALID_SPAN_CONTEXT,
        expires_at: float | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        *,
        simulated: bool = False,
    ) -> None:
        self.opened_ns = time.time_ns()
        self.connected_at = self.opened_ns // 1_000 / 1e6
        """Unix seconds."""
        self.opened = self.last_seen = self.checkpoint_at = time.monotonic()
        self.robot_id = robot_id
        mark = SIMULATED if simulated else ""
        self.id = f"ws_{robot_id}_{int(self.connected_at)}_{mark}{secrets.token_hex(4)}"
        self.handshake = handshake
        self.labels = labels
        self.expires = math.inf
        """When the token expires, of the monotonic clock."""
        self.expire_at(expires_at)
        self.frames = 0
        """Frames with readings."""
        self.readings = 0
        """Readings taken, those of lists one by one."""
        self.ending: CloseReason | None = None
        """The reason why the service ends the connection, once it does."""
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def recalled(
        cls,
        robot_id: str,
        handshake: SpanContext,
        *,
        id_: str,
        connected_at: float,
        duration: float,
        frames: int,
    ) -> "Connection":
        """Return a connection that a dead instance held, as far as it is known."""
        connection = cls(robot_id, handshake)
        connection.id = id_
        connection.connected_at = connected_at
        connection.opened_ns = int(connected_at * 1e9)
        connection.opened = connection.last_seen = time.monotonic() - duration
        connection.frames = frames
        return connection

    @property
    def duration(self) -> float:
        """Seconds since accept, of the monotonic clock."""
        return time.monotonic() - self.opened

    @property
    def last_seen_at(self) -> float:
        """Unix seconds of the last frame, or of accept if there was none."""
        return self.connected_at + (self.last_seen - self.opened)

    def expire_at(self, at: float | None) -> None:
        """Set when the robot's token expires, in Unix seconds; None is never."""
        self.expires = math.inf if at is None else time.monotonic() + (at - time.time())

    def seen(self) -> None:
        """Record that the robot is alive."""
        self.last_seen = time.monotonic()

    def receiving(self, task: "asyncio.Task[None] | None") -> None:
        """Set the task that waits for the robot's frames; None when none does any more."""
        self._task = task

    def end(self, reason: CloseReason) -> None:
        """End the connection from the service's side; the first reason stays."""
        if self.ending is None:
            self.ending = reason
            if self._task is not None:
                self._task.cancel()


class Connections:
    """All open connections of this instance. Counts that are read here cannot drift."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}
        """By connection id: while a robot is taken over, it has two for a moment."""
        self._current: dict[str, Connection] = {}
        """By robot id: the newest."""
        self.frames: Counter[str] = Counter()
        """Frames received, by outcome."""
        self.readings: Counter[str] = Counter()
        """Readings received, by outcome."""
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """Go through the open connections; they may close meanwhile."""
        return iter(list(self._open.values()))

    def get(self, connection_id: str) -> Connection | None:
        """Return an open connection."""
        return self._open.get(connection_id)

    def current(self, robot_id: str) -> Connection | None:
        """Return the robot's newest open connection."""
        return self._current.get(robot_id)

    def add(self, connection: Connection) -> None:
        """Add an accepted connection and end the former one of the same robot."""
        previous = self._current.get(connection.robot_id)
        self._open[connection.id] = connection
        self._current[connection.robot_id] = connection
        self._all_closed.clear()
        if previous is not None:
            previous.end(CloseReason.SUPERSEDED)

    def remove(self, connection: Connection) -> bool:
        """Remove a closed connection.

        Returns:
            Whether it was the robot's newest, so that the robot is offline now.
        """
        self._open.pop(connection.id, None)
        if not self._open:
            self._all_closed.set()
        if self._current.get(connection.robot_id) is not connection:
            return False
        del self._current[connection.robot_id]
        return True

    async def close_all(self, reason: CloseReason, *, deadline: float) -> bool:
        """End all connections and wait until they are closed, for ``deadline`` seconds at most.

        Returns:
            Whether all are closed.
        """
        for connection in self:
            connection.end(reason)
        try:
            await asyncio.wait_for(self._all_closed.wait(), deadline)
        except TimeoutError:
            return False
        return True
