"""Refusing a handshake with a real HTTP status and problem details."""

from typing import Any

import msgspec
from litestar import WebSocket
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.status_codes import HTTP_426_UPGRADE_REQUIRED

from charter_otel.otel.trace_context import correlation_id, current
from charter_otel.telemetry.admission import HandshakeRefusal

_EXTENSION = "websocket.http.response"
_HEADERS = {
    401: [(b"www-authenticate", b"Bearer")],
    405: [(b"allow", b"GET")],
    426: [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")],
}


async def refuse(socket: WebSocket[Any, Any, Any], refusal: HandshakeRefusal) -> None:
    """Answer the handshake with the refusal.

    A server without the ASGI extension for it answers 403 instead.
    """
    if _EXTENSION not in (socket.scope.get("extensions") or {}):
        await socket.send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    body = problem_of(refusal)
    start = {
        "type": f"{_EXTENSION}.start",
        "status": refusal.status,
        "headers": headers_of(refusal, body),
    }
    for message in (start, {"type": f"{_EXTENSION}.body", "body": body}):
        await socket.send(message)  # type: ignore[arg-type]  # Litestar's types lack the extension


def headers_of(refusal: HandshakeRefusal, body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of the answer."""
    return [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *_HEADERS.get(refusal.status, ()),
        *([] if refusal.retry_after is None else [(b"retry-after", b"%d" % refusal.retry_after)]),
    ]


def problem_of(refusal: HandshakeRefusal) -> bytes:
    """Return the body of the answer, with the trace id of the handshake that is current."""
    problem: dict[str, Any] = {
        "status": refusal.status,
        "title": refusal.title,
        "detail": refusal.detail,
    }
    if trace_id := correlation_id(current()):
        problem["trace_id"] = trace_id
    return msgspec.json.encode(problem)


async def refuse_plain_http(robot_id: FromPath[str]) -> None:
    """Refuse a request that is not a WebSocket handshake.

    Raises:
        HTTPException: Always, with the status 426 (RFC 9110, 15.5.22).
    """
    del robot_id
    raise HTTPException(
        "This is a WebSocket; connect with ws:// or wss://.",
        status_code=HTTP_426_UPGRADE_REQUIRED,
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )
