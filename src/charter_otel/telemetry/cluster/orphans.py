"""Connections that dead instances have left open, and what is still known of them."""

from typing import NamedTuple

import msgspec

from charter_otel.charter import CloseReason
from charter_otel.telemetry.cluster.register import Details, read_entry
from charter_otel.telemetry.cluster.shared_state import State
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.spans import remote


class Orphan(NamedTuple):
    """A connection that is told to be open, and whose instance is not there."""

    id: str
    value: bytes
    """Its entry in the register; empty where it has none: the stream does not know it as open."""
    details: Details
    last_beat: float | None
    """Unix seconds of its instance's last sign of life; None where it was not declared lost."""


class AdoptedConnection(NamedTuple):
    """An orphan that this instance closes."""

    orphan: Orphan
    connection: Connection
    """As far as it is known."""
    ended: float
    """Unix seconds; when it was last seen."""
    epoch: str
    """Empty where the robot has a newer connection."""

    @classmethod
    def of(cls, orphan: Orphan, epoch: bytes, presence: bytes) -> "AdoptedConnection":
        """Recall the connection from what was told of it, and of its robot."""
        details, frames = orphan.details, 0
        seen = orphan.last_beat or details.connected_at
        known = msgspec.json.decode(presence) if presence else {}
        if known.get("connection_id") == orphan.id:
            seen, frames = known.get("last_seen_at") or seen, known.get("frames", 0)
        connection = Connection(details.robot_id, remote(details.traceparent))
        seen = max(seen, details.connected_at)
        connection.recall(orphan.id, details.connected_at, seen - details.connected_at, frames)
        return cls(orphan, connection, seen, epoch.decode())

    def offline(self) -> State:
        """Return the state that the connection's end puts its robot in."""
        presence = {
            "robot_id": self.connection.robot_id,
            "status": "offline",
            "connection_id": self.connection.id,
            "connected_at": self.connection.connected_at,
            "last_seen_at": self.ended,
            "disconnected_at": self.ended,
            "last_reason": CloseReason.SERVER_LOST.value,
        }
        return State(self.connection.robot_id, self.epoch, presence)


def registered(id_: bytes, value: bytes, last_beat: bytes) -> Orphan | None:
    """Read what `orphans.lua` found; None where it makes no sense."""
    try:
        details = read_entry(value)
    except msgspec.MsgspecError:
        return None
    return Orphan(id_.decode(), value, details, _moment(last_beat))


def unregistered(id_: bytes, robot_id: bytes, accepted: bytes, last_beat: bytes) -> Orphan:
    """Read what `absent.lua` found."""
    details = Details(robot_id.decode(), float(accepted))
    return Orphan(id_.decode(), b"", details, _moment(last_beat))


def _moment(text: bytes) -> float | None:
    return float(text) if text else None
