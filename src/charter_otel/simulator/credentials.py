"""The credentials that the commands present to a service that requires tokens."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import httpx

from charter_otel.tokens import Scope, sign

HINT = "set CHARTER_AUTH_SECRET to the service's own"
"""Advice for when a service refuses."""

READER_HINT = f"{HINT}, or CHARTER_TOKEN to a token that has the scope read"
"""Another remedy, for readers."""

REFUSALS = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
"""Statuses that require other credentials."""

_ROBOT_LIFETIME = 86_400.0
_REQUEST_LIFETIME = 300.0


@dataclass(frozen=True)
class Credentials:
    """Signs a token for each client that needs one, if there is a secret.

    Args:
        secret: The service's secret.
        token: A token that a REST client presents as it is, instead of one signed here.
    """

    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def of_robot(self, robot_id: str) -> dict[str, str]:
        """Return the headers with which a robot connects; its label says that it is simulated."""
        if self.secret is None:
            return {"Charter-Label-Simulated": "true"}
        token = sign(self.secret, robot_id, lifetime=_ROBOT_LIFETIME, labels={"simulated": "true"})
        return _header(token)

    def of_client(self, *scopes: Scope) -> httpx.Auth | None:
        """Return an auth flow that signs each request, so that a client's token never expires."""
        token, secret = self.token, self.secret
        if token is not None:
            return _TokenAuth(lambda: token)
        if secret is not None:
            return _TokenAuth(lambda: _signed(secret, scopes))
        return None


class _TokenAuth(httpx.Auth):
    def __init__(self, get_token: Callable[[], str]) -> None:
        self._get_token = get_token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update(_header(self._get_token()))
        yield request


def _signed(secret: str, scopes: tuple[Scope, ...]) -> str:
    return sign(secret, "charter-otel-cli", scopes=scopes, lifetime=_REQUEST_LIFETIME)


def _header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
