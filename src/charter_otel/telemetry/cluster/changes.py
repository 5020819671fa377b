"""The robots whose state the other instances do not know yet."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from charter_otel.telemetry.cluster.claims import Claims
from charter_otel.telemetry.cluster.shared_state import BATCH, SharedRobotState, state_of
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet

_LOOKED_AT = 5_000


class Change(NamedTuple):
    """The state of a robot at a moment."""

    connection: Connection
    last_seen: float
    state: SharedRobotState


class Changes:
    """Finds the changes to be shared; each robot is there once, with its newest state.

    Robots that came or went are shared first. Those that sent frames are found by going round the
    open connections, so that a frame costs nothing here.
    """

    def __init__(self, fleet: Fleet, connections: Connections, claims: Claims) -> None:
        self._fleet = fleet
        self._claims = claims
        self._connections = connections
        self._marked: dict[str, Connection] = {}
        """Connections whose change is to be shared, by robot, the oldest first."""
        self._round: Iterator[Connection] = iter(())
        """The rest of the current round through the open connections."""

    def mark(self, connection: Connection) -> None:
        """Mark the robot's state as changed; it is shared once the robot is claimed."""
        self._marked[connection.robot_id] = connection

    def pending(self, robot_id: str) -> bool:
        """Return whether the robot's state is still to be shared."""
        return robot_id in self._marked

    def forget(self, connection: Connection) -> None:
        """Forget a connection: nothing of it is shared any more."""
        if self._marked.get(connection.robot_id) is connection:
            del self._marked[connection.robot_id]

    def take(self) -> list[Change]:
        """Take a batch of changes; `published` or `give_back` must follow."""
        claimed = (c for c in self._marked.values() if self._claims.of(c).epoch is not None)
        chosen = dict.fromkeys(islice(claimed, BATCH))
        for connection in chosen:
            del self._marked[connection.robot_id]
        for connection in islice(self._going_round(), BATCH - len(chosen)):
            chosen[connection] = None
        changes = (self._change(connection) for connection in chosen)
        return [change for change in changes if change is not None]

    def published(self, changes: Sequence[Change]) -> None:
        """Record that the changes are shared."""
        for change in changes:
            self._claims.of(change.connection).shared = change.last_seen

    def give_back(self, changes: Sequence[Change]) -> None:
        """Share the changes later, unless newer ones come first."""
        for change in changes:
            self._marked.setdefault(change.state.robot_id, change.connection)

    def _going_round(self) -> Iterator[Connection]:
        """Yield open connections whose robots sent frames since they were last shared."""
        for _ in range(min(_LOOKED_AT, len(self._connections))):
            connection = next(self._round, None)
            if connection is None:
                self._round = iter(self._connections)
                connection = next(self._round, None)
            if connection is not None:
                claim = self._claims.of(connection)
                if claim.epoch and claim.shared != connection.last_seen:
                    yield connection

    def _change(self, connection: Connection) -> Change | None:
        robot = self._fleet.get(connection.robot_id)
        epoch = self._claims.of(connection).epoch
        if robot is None or not epoch or robot.connection_id != connection.id:
            return None
        return Change(connection, connection.last_seen, state_of(robot, connection, epoch))
