"""Support for a program's own app: its context, its warnings, and what stays as it is."""

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog
from litestar import Router
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.utils.path import normalize_path

from charter_otel import seams
from charter_otel.methods import allow, handlers_of
from charter_otel.telemetry.router import WEBSOCKET_ROUTE

_SOCKETS = WEBSOCKET_ROUTE.partition("{")[0]
_NEAR = frozenset({"127.0.0.1", "::1", "localhost", "testclient"})

log = structlog.get_logger(__name__)


class AppContext:
    """Middleware that binds the module-level functions to the app that handles the request."""

    def __init__(self, get_scope: Callable[[], seams.Scope | None], *, is_open: bool) -> None:
        self._get_scope = get_scope
        self._watches = is_open

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the application, wrapped."""

        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if self._watches and is_far(scope.get("client")):
                self._watches = False
                log.warning(
                    "requests come from beyond loopback and there is no secret: anybody may read, "
                    "write and be a robot; set CHARTER_AUTH_SECRET, or Settings(auth_secret=…)"
                )
            with seams.current(self._get_scope()):
                await app(scope, receive, send)

        return middleware


async def allow_methods_only(error: Exception, scope: Scope) -> None:
    """Take ``websocket`` out of ``Allow`` on the robots' path: Litestar lists it as a method.

    A hook, because the app's own handlers answer a method that is not possible.
    """
    if isinstance(error, MethodNotAllowedException) and _SOCKETS in scope["path"]:
        error.headers = {"allow": allow(*(error.headers or {}).get("allow", "").split(", "))}


def is_far(client: Any) -> bool:
    """Return whether an ASGI client is on another machine, as far as its address says."""
    if not client or client[0] in _NEAR:
        return False
    try:
        return not ipaddress.ip_address(str(client[0]).partition("%")[0]).is_loopback
    except ValueError:
        return False


def taken_paths(handlers: Sequence[Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of a program's handlers, those of its routers and controllers included."""
    for handler in handlers:
        if isinstance(handler, Router):
            yield from taken_paths(handlers_of(handler), prefix + handler.path)
        elif isinstance(handler, BaseRouteHandler):
            yield from (normalize_path(prefix + path) for path in handler.paths or {"/"})
        else:
            inside = [each for each in vars(handler).values() if isinstance(each, BaseRouteHandler)]
            yield from taken_paths(inside, prefix + (getattr(handler, "path", None) or ""))
