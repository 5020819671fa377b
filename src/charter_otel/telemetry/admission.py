"""Who may connect: the checks before accept.

First those that anybody can make for himself, from what he sent; then the token; only who has that
learns how full the service is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from charter_otel.charter import ROBOT_ID_RULE, is_robot_id
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.origins import is_foreign
from charter_otel.tokens import InvalidToken, Token, verify

BEARER_SUBPROTOCOL = "bearer."
"""What the subprotocol starts with that carries a browser's token: it cannot send the header."""

_HEADERS = (b"authorization", b"host", b"origin")


class Request(NamedTuple):
    """A handshake's request, as far as it matters for admission."""

    robot_id: str
    headers: Mapping[str, str]
    """Those that count, with lower-case names."""
    subprotocols: Sequence[str]
    address: str | None = None
    """The client's; it is counted and told to nobody."""


def request(scope: Any, robot_id: str) -> Request:
    """Return what matters of an ASGI scope; of headers that come twice, the first."""
    headers = {
        name.decode(): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
        if name in _HEADERS
    }
    client = scope.get("client")
    return Request(
        robot_id, headers, scope.get("subprotocols") or (), client[0] if client else None
    )


class Admitted(NamedTuple):
    """A robot that may connect."""

    expires_at: float | None
    """Unix seconds at which its token expires; None where no tokens are asked for."""
    subprotocol: str | None
    """What the accept names: a browser closes a connection whose server picks none it offered."""


class Refusal(NamedTuple):
    """Why a handshake is refused."""

    outcome: str
    """One of ``charter.handshake.outcome``."""
    status: int
    title: str
    detail: str


FAILED = Refusal(
    "error",
    500,
    "Internal Server Error",
    "The service failed to handle the handshake; its log says why.",
)
"""The answer where admission itself fails."""


def admit(gateway: Gateway, request: Request) -> Admitted | Refusal:
    """Decide about a handshake."""
    refusal = _check_rate(gateway, request.address) or _check_request(gateway, request)
    if refusal is not None:
        return refusal
    token = _check_token(gateway, request) if gateway.secrets else None
    if isinstance(token, Refusal):
        return token
    refusal = _check_capacity(gateway, request.robot_id)
    if refusal is not None:
        return refusal
    return Admitted(token and token.expires_at, _chosen(request.subprotocols))


def _check_rate(gateway: Gateway, address: str | None) -> Refusal | None:
    if gateway.handshakes.allows(address):
        return None
    return Refusal(
        "rate_limited",
        429,
        "Too Many Requests",
        f"More than {gateway.handshakes.per_second} handshakes a second come from your address; "
        "wait a moment and try again.",
    )


def _check_request(gateway: Gateway, request: Request) -> Refusal | None:
    if not is_robot_id(request.robot_id):
        return Refusal("invalid_robot_id", 400, "Bad Request", f"A robot id has {ROBOT_ID_RULE}.")
    if is_foreign(request.headers, gateway.allowed_origins):
        return Refusal("forbidden", 403, "Forbidden", "Pages of another origin may not connect.")
    return None


def _check_capacity(gateway: Gateway, robot_id: str) -> Refusal | None:
    if gateway.closing:
        return Refusal(
            "shutting_down", 503, "Service Unavailable", "The service is shutting down; try again."
        )
    others = len(gateway.connections) - (gateway.connections.current(robot_id) is not None)
    if others >= gateway.limits.max_connections:
        return Refusal(
            "too_many_connections",
            503,
            "Service Unavailable",
            f"All {gateway.limits.max_connections} connections are taken; try again later.",
        )
    return None


def _check_token(gateway: Gateway, request: Request) -> Token | Refusal:
    presented = _presented(request)
    if presented is None:
        return Refusal("unauthorized", 401, "Unauthorized", "Present the robot's token.")
    try:
        token = verify(gateway.secrets, presented)
    except InvalidToken as error:
        return Refusal("unauthorized", 401, "Unauthorized", f"{error}.".capitalize())
    if token.subject != request.robot_id:
        return Refusal("forbidden", 403, "Forbidden", "The token is not this robot's.")
    return token


def _presented(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    for subprotocol in request.subprotocols:
        if subprotocol.startswith(BEARER_SUBPROTOCOL):
            return subprotocol.removeprefix(BEARER_SUBPROTOCOL)
    return None


def _chosen(subprotocols: Sequence[str]) -> str | None:
    """Choose a subprotocol; one with a token only where nothing else is offered."""
    plain = (name for name in subprotocols if not name.startswith(BEARER_SUBPROTOCOL))
    return next(plain, subprotocols[0] if subprotocols else None)
