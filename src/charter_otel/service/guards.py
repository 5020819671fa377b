"""Access to REST: reading and writing need a token with the scope, once the service has a secret.

The guards are coroutine functions because Litestar runs all others in a thread, for each request.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope as ASGIScope

from charter_otel.methods import handlers_of
from charter_otel.telemetry.origins import CAUSES_EVENT, REBOUND, is_foreign, is_rebound
from charter_otel.tokens import OPEN, InvalidToken, Scope, Token, verify

AnyConnection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[AnyConnection, BaseRouteHandler], Awaitable[None]]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_VERIFIED = "charter_otel.verified"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def request_guard(secrets: Sequence[str]) -> Guard:
    """Return the guard of all requests: for a token, or against other names where there is none."""
    return scope_guard(secrets) if secrets else loopback_guard


def scope_guard(secrets: Sequence[str]) -> Guard:
    """Return a guard that requires the scope ``read`` to read and ``write`` to write.

    WebSockets pass: the robots' tokens are checked at the handshake, against the robot.
    """

    async def guard(connection: AnyConnection, handler: BaseRouteHandler) -> None:
        if connection.scope["type"] == ScopeType.HTTP and not handler.opt.get(OPEN):
            _check_scope(secrets, connection.scope)

    return guard


def origin_guard(allowed: Collection[str]) -> Guard:
    """Return a guard for routes that write or cause an event; it refuses pages of other origins.

    Without a secret the service listens on loopback, where any page in a browser of that machine
    can send requests; the browser already keeps them from reading the answers.

    Args:
        allowed: Origins whose pages may write, beside the service's own.
    """

    async def guard(connection: AnyConnection, _: BaseRouteHandler) -> None:
        if is_foreign(connection.headers, allowed):
            detail = "Pages of another origin may neither write nor cause an event."
            raise PermissionDeniedException(detail=detail)

    return guard


async def loopback_guard(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Refuse requests to loopback under another host name: for a service without a secret."""
    server = connection.scope.get("server") or ("", None)
    if is_rebound(server[0] or "", connection.headers.get("host")):
        raise PermissionDeniedException(detail=REBOUND)


def guarded(router: Router, requests: Guard, writes: Guard) -> Router:
    """Attach guards to the router's HTTP routes, and return it.

    A robot's handshake has the same checks in `charter_otel.telemetry.admission`, which answers,
    counts and logs a refusal. Litestar copies the handler for each call of a guard.

    Args:
        router: The router.
        requests: The guard of all requests.
        writes: The guard of routes that write or cause an event.
    """
    for handler in handlers_of(router):
        if isinstance(handler, HTTPRouteHandler):
            harmless = handler.http_methods <= _SAFE_METHODS and CAUSES_EVENT not in handler.opt
            more = () if harmless else (writes,)
            handler.guards = (requests, *(handler.guards or ()), *more)
    return router


def may(scope: Scope, secrets: Sequence[str], connection: AnyConnection) -> bool:
    """Return whether a request to an open route has the scope; without a secret, each one has."""
    try:
        return not secrets or scope in _token(secrets, connection.scope).scopes
    except NotAuthorizedException:
        return False


def trusts(secrets: Sequence[str], allowed: Collection[str]) -> Callable[[ASGIScope], bool]:
    """Return a function of the ASGI scope: whether a request may write into the trace it names.

    One that the guards refuse, or from a page that may not write, gets a trace of its own.

    Args:
        secrets: The secrets with which tokens may be signed; without any, no token is needed.
        allowed: Origins whose pages may write, beside the service's own.
    """

    def trusted(scope: ASGIScope) -> bool:
        headers = Headers.from_scope(scope)
        if is_foreign(headers, allowed):
            return False
        if not secrets:
            server = scope.get("server") or ("", None)
            return not is_rebound(server[0] or "", headers.get("host"))
        try:
            _check_scope(secrets, scope)
        except (NotAuthorizedException, PermissionDeniedException):
            return False
        return True

    return trusted


def seconds_left(connection: AnyConnection) -> float | None:
    """Return the seconds until the request's token expires; None if it needed none."""
    _, token = connection.scope["state"].get(_VERIFIED, (None, None))
    return token.expires_at - time.time() if isinstance(token, Token) else None


def _check_scope(secrets: Sequence[str], scope: ASGIScope) -> None:
    needed: Scope = "read" if scope.get("method") in _SAFE_METHODS else "write"
    if needed not in _token(secrets, scope).scopes:
        raise PermissionDeniedException(detail=f"The token lacks the scope {needed!r}.")


def _token(secrets: Sequence[str], scope: ASGIScope) -> Token:
    """Return the request's token; it is verified once, whoever asks."""
    by, found = scope["state"].get(_VERIFIED, (None, ""))
    # An app around this one may have verified it with other secrets.
    if by != secrets:
        found = _verified(secrets, Headers.from_scope(scope).get("authorization", ""))
        scope["state"][_VERIFIED] = (secrets, found)
    if isinstance(found, str):
        raise NotAuthorizedException(detail=found, headers=_CHALLENGE)
    token: Token = found
    return token


def _verified(secrets: Sequence[str], header: str) -> Token | str:
    """Return the token that a header presents, or why it is refused."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return "Present a bearer token."
    try:
        return verify(secrets, token.strip())
    except InvalidToken as error:
        return f"{error}.".capitalize()
