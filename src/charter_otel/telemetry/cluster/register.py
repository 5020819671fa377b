"""The register of open connections, which moves with the event stream."""

from collections.abc import Callable
from typing import Any

import msgspec

from charter_otel.charter import CloseReason, EventType
from charter_otel.streams.register import RegisterChange

NOBODY = "-"
"""Owner of a connection that had ended when its opening event was published."""


class Details(msgspec.Struct):
    """The register's record of an open connection."""

    robot_id: str
    connected_at: float
    """Unix seconds."""
    traceparent: str | None = None
    """The handshake's trace context."""
    accepted: float | None = None
    """When it was accepted, in Unix seconds of Redis's clock: the one of the last heartbeat."""


class _Payload(msgspec.Struct):
    robot_id: str
    connection_id: str
    connected_at: float = 0.0
    reason: str | None = None


class _Envelope(msgspec.Struct):
    type: str
    payload: Any


class ConnectionRegister:
    """Maps each event to its change of the register: it opens a connection, or closes one.

    Args:
        owner: Returns the instance that holds a connection and when it was accepted by Redis's
            clock, or None if none does any more.
    """

    def __init__(self, owner: Callable[[str], tuple[str, float] | None]) -> None:
        self._owner = owner

    def mark(self, envelope: bytes, traceparent: str | None) -> RegisterChange | None:
        """Return the change to the register that publishing the event makes."""
        if b'"telemetry.connection_' not in envelope:
            return None
        try:
            event = _ENVELOPE.decode(envelope)
            payload = msgspec.convert(event.payload, _Payload)
        except msgspec.MsgspecError:
            return None
        if event.type == EventType.TELEMETRY_CONNECTION_ESTABLISHED:
            owner, accepted = self._owner(payload.connection_id) or (NOBODY, None)
            details = Details(payload.robot_id, payload.connected_at, traceparent, accepted)
            return RegisterChange("open", payload.connection_id, entry(owner, details))
        if event.type == EventType.TELEMETRY_CONNECTION_CLOSED:
            lost = payload.reason == CloseReason.SERVER_LOST
            return RegisterChange("lost" if lost else "close", payload.connection_id)
        return None


def entry(owner: str, details: Details) -> str:
    """Return a connection's value in the register."""
    return f"{owner}\n{_ENCODE(details).decode()}"


def read_entry(value: bytes) -> Details:
    """Read a connection's value in the register.

    Raises:
        msgspec.MsgspecError: The value is malformed.
    """
    return _DETAILS.decode(value.partition(b"\n")[2])


_ENCODE = msgspec.json.Encoder().encode
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_DETAILS = msgspec.json.Decoder(Details)
