"""The handlers of routers, and their methods: HEAD wherever GET is, OPTIONS with them all."""

from collections.abc import Sequence
from functools import wraps
from inspect import isawaitable
from typing import Any

from litestar import HttpMethod, Response, Router, route
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler

_ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def with_methods(handlers: Sequence[ControllerRouterHandler]) -> list[ControllerRouterHandler]:
    """Return a router's handlers, with those for HEAD and OPTIONS that are missing (RFC 9110, 9.3).

    Neither is in the OpenAPI document: each is what GET's description says, without the body.
    Litestar's own OPTIONS names the methods of one of the handlers of a path only.

    Args:
        handlers: All handlers of the router; those of WebSockets stay as they are.
    """
    complete = list(handlers)
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        if not isinstance(handler, HTTPRouteHandler):
            continue
        if _names(handler) == {"GET"}:
            complete.append(_head(handler))
        for path in handler.paths or {"/"}:
            methods.setdefault(path, {"OPTIONS"}).update(_names(complete[-1]), _names(handler))
    # First: Litestar makes an OPTIONS of its own where it does not find one.
    return [*(_options(path, names) for path, names in methods.items()), *complete]


def handlers_of(router: Router) -> list[Any]:
    """Return a router's handlers; Litestar 3 keeps them, Litestar 2 turns them into routes."""
    given = getattr(router, "route_handlers", None)
    if given is not None:
        return list(given)
    found: list[Any] = []
    for each in getattr(router, "routes", ()):
        found += getattr(each, "route_handlers", None) or [each.route_handler]
    return found


def allow(*methods: str) -> str:
    """Return the value of an ``Allow`` header."""
    return ", ".join(name for name in _ORDER if name in methods)


def _names(handler: Any) -> set[str]:
    return {str(getattr(method, "value", method)) for method in handler.http_methods}


class _Made(Response[None]):
    """A response that its handler has made for ASGI already."""

    def __init__(self, made: ASGIResponse) -> None:
        super().__init__(None)
        self._made = made

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return self._made


def _head(handler: HTTPRouteHandler) -> HTTPRouteHandler:
    """Return the handler for HEAD, which does all that GET does; the server sends no body."""
    get = handler.fn

    @wraps(get)
    async def head(*args: Any, **kwargs: Any) -> Response[Any]:
        answer = get(*args, **kwargs)
        answer = await answer if isawaitable(answer) else answer
        if isinstance(answer, ASGIResponse):
            return _Made(answer)
        return answer if isinstance(answer, Response) else Response(answer)

    # Litestar 3 takes no handler of HEAD that says it has a body.
    head.__annotations__ = {**get.__annotations__, "return": Response[None]}
    paths, opt = sorted(handler.paths or {"/"}), dict(handler.opt)
    return route(paths, http_method=HttpMethod.HEAD, include_in_schema=False, opt=opt)(head)


def _options(path: str, methods: set[str]) -> HTTPRouteHandler:
    headers = {"Allow": allow(*methods)}

    @route(path, http_method=HttpMethod.OPTIONS, include_in_schema=False, sync_to_thread=False)
    def options() -> Response[None]:
        """Return the methods of the path."""
        return Response(None, status_code=204, headers=headers)

    return options
