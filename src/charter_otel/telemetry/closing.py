"""Close reasons: the server's messages mapped to one closed list, and the codes that robots see."""

from collections.abc import Mapping
from typing import Any

from charter_otel.charter import EXPECTED_CLOSE_REASONS, CloseReason
from charter_otel.telemetry.retry_after import seconds_to_return

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
"""Close code that the robot gets if the service ends the connection (RFC 6455, section 7.4).

The codes from 4400 on follow the HTTP statuses with the same meaning.
"""

CLOSED_BY = "charter.closed_by"
"""Key of a ``websocket.disconnect`` that names the side that closed first: the values below.

ASGI has no such key, so the side is inferred from the messages of other servers.
"""
ROBOT, SERVICE = "robot", "service"

_OTHERS_ARE_THERE = 0.5
"""Seconds after which a robot that is released may come back: to another instance, as a rule."""

_SERVER_CODES = {
    CODES[CloseReason.RATE_LIMITED]: CloseReason.RATE_LIMITED,
    1002: CloseReason.PROTOCOL_ERROR,
    1003: CloseReason.PROTOCOL_ERROR,
    1007: CloseReason.PROTOCOL_ERROR,
    1009: CloseReason.MESSAGE_TOO_BIG,
    1012: CloseReason.SERVER_SHUTDOWN,
}
"""Codes with which a server closes a connection by itself, while the session would go on."""

_PARSERS_CODES = frozenset({1002, 1007, 1009})
"""Those of a parser that cannot go on."""


def classify(disconnect: Mapping[str, Any]) -> CloseReason:
    """Return the reason behind an ASGI ``websocket.disconnect`` message.

    The side that closed first decides: if the robot did, it is a client's disconnect, whatever
    its code is.
    """
    code, text = disconnect.get("code", 1005), disconnect.get("reason")
    closed_by = disconnect.get(CLOSED_BY)
    if closed_by == ROBOT:
        return CloseReason.CLIENT_DISCONNECT
    # uvicorn reports a lost connection as 1005 and leaves the reason out; the reason of a close
    # frame without a code, which is 1005 too, is empty.
    if code == 1006 or (code == 1005 and text is None):  # noqa: PLR2004 - RFC 6455
        return CloseReason.CONNECTION_LOST
    if closed_by == SERVICE or text is None or _is_a_parser_s(code, text):
        return _SERVER_CODES.get(code, CloseReason.CLIENT_DISCONNECT)
    return CloseReason.CLIENT_DISCONNECT


def _is_a_parser_s(code: int, text: str) -> bool:
    """Return whether uvicorn's parser closed: it gives a reason, except for invalid UTF-8."""
    return code in _PARSERS_CODES and (bool(text) or code == 1007)  # noqa: PLR2004


def close_text(reason: CloseReason, herd: float) -> str:
    """Return the text of a close frame: the reason, and after a shutdown when to come back.

    Args:
        reason: Why the service closes.
        herd: Number of robots that are released at the same time.
    """
    if CODES.get(reason) != CODES[CloseReason.SERVER_SHUTDOWN]:
        return reason.value
    return f"{reason.value}; come back in {seconds_to_return(_OTHERS_ARE_THERE, herd)} s"


def is_expected(reason: CloseReason) -> bool:
    """Return whether the reason is a normal one that needs no operator."""
    return reason in EXPECTED_CLOSE_REASONS
