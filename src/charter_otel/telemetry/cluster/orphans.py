"""Connections that dead instances have left open, and the remaining facts about them."""

from typing import Any, NamedTuple

import msgspec

from charter_otel.charter import CloseReason
from charter_otel.otel.trace_context import remote
from charter_otel.telemetry.cluster.register import Details, read_entry
from charter_otel.telemetry.cluster.shared_state import SharedRobotState
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.labels import named, short


class Orphan(NamedTuple):
    """A connection that is recorded as open, but whose instance is not there."""

    id: str
    value: bytes
    """Its entry in the register; empty if it has none: the stream does not know it as open."""
    details: Details
    last_heartbeat: float | None
    """Unix seconds of its instance's last heartbeat; None if it was not declared lost."""

    @property
    def lasted(self) -> float | None:
        """Seconds to the last heartbeat, by Redis's clock; None if that is not known."""
        if self.last_heartbeat is None:
            return None
        accepted = self.details.accepted
        return max(0.0, self.last_heartbeat - (accepted or self.details.connected_at))


class AdoptedConnection(NamedTuple):
    """An orphan that this instance closes."""

    orphan: Orphan
    connection: Connection
    """As far as it is known."""
    ended: float
    """Unix seconds; when it was last seen."""
    epoch: str
    """Empty if the robot has a newer connection."""

    @classmethod
    def of(cls, orphan: Orphan, epoch: bytes, presence: bytes) -> "AdoptedConnection":
        """Rebuild the connection from its record, and from its robot's presence."""
        details, frames, seconds = orphan.details, 0, orphan.lasted
        known = _known(presence)
        if known.get("connection_id") == orphan.id:
            frames = known.get("frames", 0)
            seconds = _shorter((known.get("last_seen_at") or 0.0) - details.connected_at, seconds)
        seconds = seconds or 0.0
        connection = Connection.recalled(
            details.robot_id,
            remote(details.traceparent),
            id_=orphan.id,
            connected_at=details.connected_at,
            duration=seconds,
            frames=frames,
        )
        connection.labels = named(known.get("labels"))
        return cls(orphan, connection, details.connected_at + seconds, epoch.decode())

    def offline(self) -> SharedRobotState:
        """Return the robot's state after the end of the connection."""
        presence = {
            "robot_id": self.connection.robot_id,
            "status": "offline",
            "connection_id": self.connection.id,
            "connected_at": self.connection.connected_at,
            "last_seen_at": self.ended,
            "disconnected_at": self.ended,
            "last_reason": CloseReason.SERVER_LOST.value,
            **({"labels": short(self.connection.labels)} if self.connection.labels else {}),
        }
        return SharedRobotState(self.connection.robot_id, self.epoch, presence)


def registered(id_: bytes, value: bytes, last_heartbeat: bytes) -> Orphan:
    """Read an orphan that `orphans.lua` found.

    Raises:
        ValueError: The entry is malformed.
    """
    value.decode()  # It is handed back to Redis as text.
    return Orphan(id_.decode(), value, read_entry(value), _moment(last_heartbeat))


def unregistered(id_: bytes, robot_id: bytes, accepted: bytes, last_heartbeat: bytes) -> Orphan:
    """Read an orphan that `absent.lua` found."""
    since = float(accepted)
    details = Details(robot_id.decode(), since, accepted=since)
    return Orphan(id_.decode(), b"", details, _moment(last_heartbeat))


def _shorter(seen: float, lasted: float | None) -> float | None:
    """Return the time to the last frame, unless the instance's clock was set meanwhile."""
    if lasted is None:
        return max(0.0, seen)
    return seen if 0.0 <= seen <= lasted else lasted


def _known(presence: bytes) -> dict[str, Any]:
    """Return the shared presence of a robot; nothing if it is malformed."""
    try:
        return _PRESENCE(presence) if presence else {}
    except (msgspec.MsgspecError, UnicodeError):
        return {}


def _moment(text: bytes) -> float | None:
    return float(text) if text else None


_PRESENCE = msgspec.json.Decoder(dict[str, Any]).decode
