"""Why connections end: the server's words made one closed list, and the codes that robots see."""

from collections.abc import Mapping
from typing import Any

from charter_otel.charter import EXPECTED_CLOSE_REASONS, CloseReason
from charter_otel.telemetry.returning import seconds_to_return

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

CLOSED_BY = "charter.closed_by"
"""Key of a ``websocket.disconnect`` with which a server says who closed first: the values below.

ASGI has no word for it, so another server's messages are read for what they betray.
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
"""Codes with which a server closes, by itself, what the session would go on with."""

_PARSERS_CODES = frozenset({1002, 1007, 1009})
"""Those of a parser that cannot go on."""


def classify(disconnect: Mapping[str, Any]) -> CloseReason:
    """Return the reason behind an ASGI ``websocket.disconnect`` message.

    Who closed first decides: a robot that closes disconnected by itself, whatever its code is.
    """
    code, told = disconnect.get("code", 1005), disconnect.get("reason")
    closed_by = disconnect.get(CLOSED_BY)
    if closed_by == ROBOT:
        return CloseReason.CLIENT_DISCONNECT
    # uvicorn reports a lost connection as 1005 and leaves the reason out; the reason of a close
    # frame without a code, which is 1005 too, is empty.
    if code == 1006 or (code == 1005 and told is None):  # noqa: PLR2004 - RFC 6455
        return CloseReason.CONNECTION_LOST
    if closed_by == SERVICE or told is None or _is_a_parser_s(code, told):
        return _SERVER_CODES.get(code, CloseReason.CLIENT_DISCONNECT)
    return CloseReason.CLIENT_DISCONNECT


def _is_a_parser_s(code: int, told: str) -> bool:
    """Return whether uvicorn's parser closed: it says why, but for text that is not UTF-8."""
    return code in _PARSERS_CODES and (bool(told) or code == 1007)  # noqa: PLR2004


def close_text(reason: CloseReason, herd: float) -> str:
    """Return the text of a close frame: the reason, and after a shutdown when to come back.

    Args:
        reason: Why the service closes.
        herd: Robots that are told the same now.
    """
    if CODES.get(reason) != CODES[CloseReason.SERVER_SHUTDOWN]:
        return reason.value
    return f"{reason.value}; come back in {seconds_to_return(_OTHERS_ARE_THERE, herd)} s"


def is_expected(reason: CloseReason) -> bool:
    """Return whether nobody needs to be woken for the reason."""
    return reason in EXPECTED_CLOSE_REASONS
