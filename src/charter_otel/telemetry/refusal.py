"""Refusing a handshake with a real HTTP status and problem details."""

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import WebSocket

from charter_otel.telemetry.admission import Refusal

_EXTENSION = "websocket.http.response"
_HEADERS = {
    401: (b"www-authenticate", b"Bearer"),
    429: (b"retry-after", b"1"),
    503: (b"retry-after", b"5"),
}


async def refuse(socket: WebSocket[Any, Any, Any], refusal: Refusal) -> None:
    """Answer the handshake with the refusal.

    A server without the ASGI extension for it answers 403 instead.
    """
    if _EXTENSION not in (socket.scope.get("extensions") or {}):
        await socket.send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    for message in messages(refusal):
        await socket.send(message)  # type: ignore[arg-type]  # Litestar's types lack the extension


def messages(refusal: Refusal) -> Iterator[dict[str, Any]]:
    """Yield the ASGI messages of the answer."""
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    if refusal.status in _HEADERS:
        headers.append(_HEADERS[refusal.status])
    yield {"type": f"{_EXTENSION}.start", "status": refusal.status, "headers": headers}
    problem = {"status": refusal.status, "title": refusal.title, "detail": refusal.detail}
    yield {"type": f"{_EXTENSION}.body", "body": msgspec.json.encode(problem)}
