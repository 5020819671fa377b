"""Cross-origin requests of the pages that `CHARTER_ALLOWED_ORIGINS` names (WHATWG Fetch, 3.3)."""

from collections.abc import Collection

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

_ALLOWED = {
    b"access-control-allow-methods": b"GET, HEAD, POST",
    b"access-control-allow-headers": b"Authorization, Content-Type, Last-Event-ID, traceparent",
    b"access-control-max-age": b"600",
}
_READABLE = b"Retry-After, WWW-Authenticate, Last-Event-ID"


class CrossOrigin:
    """Middleware that lets the pages of allowed origins read what the routes answer.

    A preflight is answered before any guard: a browser sends it without a token. Cookies are never
    allowed; tokens travel in a header.

    Args:
        origins: The allowed origins, as a browser writes them.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the application, wrapped."""

        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            headers = dict(scope["headers"])
            origin = headers.get(b"origin", b"")
            if scope["type"] != ScopeType.HTTP or origin not in self._origins:
                await app(scope, receive, send)
            elif scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await _preflight(origin, send)
            else:
                await app(scope, receive, _readable(origin, send))

        return middleware


async def _preflight(origin: bytes, send: Send) -> None:
    headers = [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), *_ALLOWED.items()]
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": 204,
        "headers": headers,
    }
    await send(start)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _readable(origin: bytes, send: Send) -> Send:
    """Return a `send` that lets a page of the origin read the answer."""
    added = [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _READABLE),
        (b"vary", b"Origin"),
    ]

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return answer
