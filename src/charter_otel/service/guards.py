"""Who may read and write through REST: a token with the scope, once the service has a secret."""

from collections.abc import Sequence

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from charter_otel.tokens import InvalidToken, Scope, Token, verify

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def scope_guard(secrets: Sequence[str]) -> Guard:
    """Give a guard that asks for ``read`` to read and for ``write`` to write.

    WebSockets pass: their tokens are checked at the handshake, against the robot.

    Args:
        secrets: The secrets that tokens may be signed with.
    """

    def guard(connection: ASGIConnection, _: BaseRouteHandler) -> None:  # type: ignore[type-arg]
        method = connection.scope.get("method")
        if connection.scope["type"] != ScopeType.HTTP:
            return
        needed: Scope = "read" if method in _SAFE_METHODS else "write"
        if needed not in _token(secrets, connection.headers.get("authorization", "")).scopes:
            raise PermissionDeniedException(detail=f"The token lacks the scope {needed!r}.")

    return guard


def _token(secrets: Sequence[str], header: str) -> Token:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthorizedException(detail="Present a bearer token.", headers=_CHALLENGE)
    try:
        return verify(secrets, token.strip())
    except InvalidToken as error:
        raise NotAuthorizedException(detail=f"{error}.".capitalize(), headers=_CHALLENGE) from error
