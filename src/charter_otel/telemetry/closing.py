"""Why connections end: the server's words made one closed list, and the codes that robots see."""

from collections.abc import Mapping
from typing import Any

from charter_otel.charter import EXPECTED_CLOSE_REASONS, CloseReason

CODES: dict[CloseReason, int] = {
    CloseReason.HEARTBEAT_TIMEOUT: 4408,
    CloseReason.SUPERSEDED: 4409,
    CloseReason.PROTOCOL_ERROR: 1008,
    CloseReason.MESSAGE_TOO_BIG: 1009,
    CloseReason.RATE_LIMITED: 4429,
    CloseReason.TOKEN_EXPIRED: 4401,
    CloseReason.SERVER_SHUTDOWN: 1012,
    CloseReason.SERVER_ERROR: 1011,
    CloseReason.SERVER_LOST: 1012,
}
"""Close code that the robot gets, where the service ends the connection (RFC 6455, section 7.4).

The codes from 4400 on are those of the HTTP statuses that say the same.
"""

_SERVER_CODES = {
    CODES[CloseReason.RATE_LIMITED]: CloseReason.RATE_LIMITED,
    1002: CloseReason.PROTOCOL_ERROR,
    1003: CloseReason.PROTOCOL_ERROR,
    1006: CloseReason.CONNECTION_LOST,
    1007: CloseReason.PROTOCOL_ERROR,
    1009: CloseReason.MESSAGE_TOO_BIG,
    1012: CloseReason.SERVER_SHUTDOWN,
}


def classify(disconnect: Mapping[str, Any]) -> CloseReason:
    """Return the reason behind an ASGI ``websocket.disconnect`` message.

    uvicorn reports a lost connection as 1005 and leaves ``reason`` out; a close frame without a
    code is 1005 too, with an empty ``reason``. So the missing key is what tells them apart, under
    its sansio and its wsproto implementation.
    """
    code = disconnect.get("code", 1005)
    if code in _SERVER_CODES:
        return _SERVER_CODES[code]
    if code == 1005 and disconnect.get("reason") is None:  # noqa: PLR2004 - RFC 6455
        return CloseReason.CONNECTION_LOST
    return CloseReason.CLIENT_DISCONNECT


def is_expected(reason: CloseReason) -> bool:
    """Return whether nobody needs to be woken for the reason."""
    return reason in EXPECTED_CLOSE_REASONS
