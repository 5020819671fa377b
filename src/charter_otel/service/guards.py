"""Access to REST: reading and writing need a token with the scope, once the service has a secret.

The guards are coroutine functions because Litestar runs all others in a thread, for each request.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard
from litestar.types import Scope as ASGIScope

from charter_otel.methods import handlers_of
from charter_otel.telemetry.origins import REBOUND, is_foreign, is_rebound
from charter_otel.tokens import OPEN, InvalidToken, Scope, Token, verify

AnyConnection = ASGIConnection[Any, Any, Any, Any]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_EXPIRES_AT = "charter_otel.expires_at"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def scope_guard(secrets: Sequence[str]) -> Guard:
    """Return a guard that requires the scope ``read`` to read and ``write`` to write.

    WebSockets pass: their tokens are checked at the handshake, against the robot.

    Args:
        secrets: The secrets with which tokens may be signed.
    """

    async def guard(connection: AnyConnection, handler: BaseRouteHandler) -> None:
        if connection.scope["type"] != ScopeType.HTTP or handler.opt.get(OPEN):
            return
        needed: Scope = "read" if _only_reads(connection) else "write"
        token = _token(secrets, connection.headers.get("authorization", ""))
        if needed not in token.scopes:
            raise PermissionDeniedException(detail=f"The token lacks the scope {needed!r}.")
        connection.scope["state"][_EXPIRES_AT] = token.expires_at

    return guard


def origin_guard(allowed: Collection[str]) -> Guard:
    """Return a guard for routes that write; it refuses pages of other origins.

    Without a secret the service listens on loopback, where any page in a browser of that machine
    can send requests; the browser already keeps them from reading the answers.

    Args:
        allowed: Origins whose pages may write, beside the service's own.
    """

    async def guard(connection: AnyConnection, _: BaseRouteHandler) -> None:
        if is_foreign(connection.headers, allowed):
            raise PermissionDeniedException(detail="Pages of another origin may not write.")

    return guard


async def loopback_guard(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Refuse requests to loopback under another host name: for a service without a secret."""
    server = connection.scope.get("server") or ("", None)
    if is_rebound(server[0] or "", connection.headers.get("host")):
        raise PermissionDeniedException(detail=REBOUND)


def guard_writes(router: Router, guard: Guard) -> Router:
    """Attach the guard to the routes that write, and return the router.

    Litestar copies the handler for each call of a guard; routes that only read save that time.
    """
    for handler in handlers_of(router):
        if isinstance(handler, HTTPRouteHandler) and not handler.http_methods <= _SAFE_METHODS:
            handler.guards = (*(handler.guards or ()), guard)
    return router


def may(scope: Scope, secrets: Sequence[str], connection: AnyConnection) -> bool:
    """Return whether a request to an open route has the scope; without a secret, each one has."""
    try:
        header = connection.headers.get("authorization", "")
        return not secrets or scope in _token(secrets, header).scopes
    except NotAuthorizedException:
        return False


def trusts(secrets: Sequence[str], allowed: Collection[str]) -> Callable[[ASGIScope], bool]:
    """Return a function of the ASGI scope: whether a request may write into the trace it names.

    One without a valid token, or from a page that may not write, gets a trace of its own.

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
            return bool(_token(secrets, headers.get("authorization", "")))
        except NotAuthorizedException:
            return False

    return trusted


def seconds_left(connection: AnyConnection) -> float | None:
    """Return the seconds until the request's token expires; None if it needed none."""
    expires_at: float | None = connection.scope["state"].get(_EXPIRES_AT)
    return None if expires_at is None else expires_at - time.time()


def _only_reads(connection: AnyConnection) -> bool:
    return connection.scope.get("method") in _SAFE_METHODS


def _token(secrets: Sequence[str], header: str) -> Token:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthorizedException(detail="Present a bearer token.", headers=_CHALLENGE)
    try:
        return verify(secrets, token.strip())
    except InvalidToken as error:
        raise NotAuthorizedException(detail=f"{error}.".capitalize(), headers=_CHALLENGE) from error
