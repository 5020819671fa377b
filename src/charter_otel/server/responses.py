"""The few HTTP answers that a WebSocket protocol gives itself."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog

from charter_otel.telemetry.admission import HandshakeRefusal
from charter_otel.telemetry.refusal import headers_of, problem_of
from charter_otel.telemetry.router import WEBSOCKET_ROUTE

_NOWHERE = HandshakeRefusal(
    "not_found",
    404,
    "Not Found",
    f"There is no WebSocket at this path; robots connect to {WEBSOCKET_ROUTE}.",
)

log = structlog.get_logger(__name__)


def response(status: int, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b"") -> bytes:
    """Return an HTTP response; one that is not 101 ends the connection.

    Raises:
        ValueError: A header would end its line early.
    """
    lines = {name.lower(): value for name, value in headers}
    if status != HTTPStatus.SWITCHING_PROTOCOLS:
        lines.setdefault(b"connection", b"close")
        lines.setdefault(b"content-length", b"%d" % len(body))
    head = b"HTTP/1.1 %d %b\r\n" % (status, _phrase(status)) + b"".join(
        b"%b: %b\r\n" % header for header in lines.items()
    )
    if len(head.splitlines()) != len(lines) + 1:
        raise ValueError("a header of the answer holds a line break")
    return head + b"\r\n" + body


def refusal(close: Mapping[str, Any]) -> bytes:
    """Return the answer to a handshake that the application closes: 403, as ASGI has it.

    Litestar also closes if it has no WebSocket at the path, which the answer should mention.
    """
    if close.get("reason") != "Not Found":
        return response(403)
    log.warning("handshake refused", outcome=_NOWHERE.outcome, status=_NOWHERE.status)
    body = problem_of(_NOWHERE)
    return response(_NOWHERE.status, headers_of(_NOWHERE, body), body)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
