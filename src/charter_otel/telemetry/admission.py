"""Admission of robots: the checks before accept.

First come the checks of the request by itself; then the token. Only a robot with a valid token
learns how full the service is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from charter_otel.charter import ROBOT_ID_RULE, is_robot_id
from charter_otel.telemetry.extension import REFUSAL
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.labels import NO_LABELS, Labels
from charter_otel.telemetry.origins import REBOUND, is_foreign, is_rebound
from charter_otel.telemetry.retry_after import seconds_to_return
from charter_otel.tokens import InvalidToken, Token, verify

BEARER_SUBPROTOCOL = "bearer."
"""Prefix of the subprotocol that carries a browser's token: a browser cannot send the header."""

_HEADERS = (b"authorization", b"host", b"origin")
_LABEL_HEADER = b"charter-label-"
_LABEL_PARAMETER = "label."
_PARAMETERS = 100
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})
_QUERY = "{}={}: ask for it with 1, true, yes or on; leave it out otherwise."
_SWITCHES = ("ack", "simulated")


class HandshakeRequest(NamedTuple):
    """The parts of a handshake's request that matter for admission."""

    robot_id: str
    headers: Mapping[str, str]
    """The relevant ones, with lower-case names."""
    subprotocols: Sequence[str]
    address: str | None = None
    """The client's; it is counted but never published."""
    query: Mapping[str, str] = {}
    """Parameters of the query; of those that come twice, the first."""
    broken: "HandshakeRefusal | None" = None
    """The fault that the server found in the handshake itself, if any."""
    server: str = ""
    """The address that took the connection."""


def request(scope: Any, robot_id: str) -> HandshakeRequest:
    """Return the relevant parts of an ASGI scope; of headers that come twice, the first."""
    headers = {
        name.decode(): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
        if name in _HEADERS or name.startswith(_LABEL_HEADER)
    }
    client = scope.get("client")
    return HandshakeRequest(
        robot_id,
        headers,
        scope.get("subprotocols") or (),
        client[0] if client else None,
        _query(scope["query_string"]),
        (scope.get("extensions") or {}).get(REFUSAL),
        (scope.get("server") or ("",))[0] or "",
    )


def _query(text: bytes) -> Mapping[str, str]:
    # Most robots send none. Litestar would keep the parsed query as long as the connection lives.
    if not text:
        return {}
    pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=_PARAMETERS)
    return dict(reversed(pairs))


class Admitted(NamedTuple):
    """A robot that may connect."""

    expires_at: float | None
    """Unix seconds at which its token expires; None if the service asks for none."""
    subprotocol: str | None
    """The one that the accept names, of those that the client offers."""
    acknowledge: bool = False
    """Whether the robot asks for acknowledgements."""
    labels: Labels = NO_LABELS
    """The robot's labels, of those that the service takes."""
    simulated: bool = False
    """Whether it says that it is not a real robot: it raises no alert."""


class HandshakeRefusal(NamedTuple):
    """Why a handshake is refused."""

    outcome: str
    """One of ``charter.handshake.outcome``."""
    status: int
    title: str
    detail: str
    retry_after: int | None = None
    """Seconds after which the robot may come back."""


FAILED = HandshakeRefusal(
    "error",
    500,
    "Internal Server Error",
    "The service failed to handle the handshake; its log says why.",
)
"""The answer if admission itself fails."""


def admit(gateway: Gateway, request: HandshakeRequest) -> Admitted | HandshakeRefusal:
    """Decide about a handshake."""
    refusal = _check_rate(gateway, request.address) or _check_request(gateway, request)
    if refusal is not None:
        return refusal
    token = _check_token(gateway, request) if gateway.secrets else None
    if isinstance(token, HandshakeRefusal):
        return token
    refusal = _check_capacity(gateway, request.robot_id)
    if refusal is not None:
        return refusal
    acknowledge, simulated = (request.query.get(name, "").lower() in _TRUE for name in _SWITCHES)
    return Admitted(
        token and token.expires_at,
        _chosen(request.subprotocols),
        acknowledge,
        gateway.labels.choose(token.labels if token else _labels(request)),
        simulated,
    )


def _labels(request: HandshakeRequest) -> Mapping[str, str]:
    """Return the labels that a robot without a token sends, as headers or in the query."""
    headers = {
        name.removeprefix(_LABEL_HEADER.decode()).replace("-", "_"): value
        for name, value in request.headers.items()
        if name.startswith(_LABEL_HEADER.decode())
    }
    query = {
        name.removeprefix(_LABEL_PARAMETER): value
        for name, value in request.query.items()
        if name.startswith(_LABEL_PARAMETER)
    }
    return headers | query


def _check_rate(gateway: Gateway, address: str | None) -> HandshakeRefusal | None:
    if gateway.handshakes.allows(address):
        return None
    return HandshakeRefusal(
        "rate_limited",
        429,
        "Too Many Requests",
        f"More than {gateway.handshakes.per_second} handshakes a second come from your address; "
        "come back after the seconds of Retry-After.",
        seconds_to_return(1, gateway.herd.refused()),
    )


def _check_request(gateway: Gateway, request: HandshakeRequest) -> HandshakeRefusal | None:
    if request.broken is not None:
        return request.broken
    if not is_robot_id(request.robot_id):
        return HandshakeRefusal(
            "invalid_robot_id", 400, "Bad Request", f"A robot id has {ROBOT_ID_RULE}."
        )
    if not gateway.secrets and is_rebound(request.server, request.headers.get("host")):
        return HandshakeRefusal("forbidden", 403, "Forbidden", REBOUND)
    if is_foreign(request.headers, gateway.allowed_origins):
        return HandshakeRefusal(
            "forbidden", 403, "Forbidden", "Pages of another origin may not connect."
        )
    for name in _SWITCHES:
        if (value := request.query.get(name, "").lower()) not in _TRUE | _FALSE:
            return HandshakeRefusal(
                "invalid_query", 400, "Bad Request", _QUERY.format(name, value[:20])
            )
    return None


def _check_capacity(gateway: Gateway, robot_id: str) -> HandshakeRefusal | None:
    if gateway.closing:
        detail = "The service is shutting down; another instance may take you."
        return _unavailable(gateway, "shutting_down", detail, at_least=1)
    others = len(gateway.connections) - (gateway.connections.current(robot_id) is not None)
    if others >= gateway.limits.max_connections:
        detail = f"All {gateway.limits.max_connections} connections are taken; come back later."
        return _unavailable(gateway, "too_many_connections", detail, at_least=5)
    return None


def _unavailable(gateway: Gateway, outcome: str, detail: str, *, at_least: int) -> HandshakeRefusal:
    retry_after = seconds_to_return(at_least, gateway.herd.refused())
    return HandshakeRefusal(outcome, 503, "Service Unavailable", detail, retry_after)


def _check_token(gateway: Gateway, request: HandshakeRequest) -> Token | HandshakeRefusal:
    presented = _presented(request)
    if presented is None:
        return HandshakeRefusal("unauthorized", 401, "Unauthorized", "Present the robot's token.")
    return check_token(gateway.secrets, request.robot_id, presented)


def check_token(secrets: Sequence[str], robot_id: str, presented: str) -> Token | HandshakeRefusal:
    """Return the token's content if it opens the robot's socket, else the refusal."""
    try:
        token = verify(secrets, presented)
    except InvalidToken as error:
        return HandshakeRefusal("unauthorized", 401, "Unauthorized", f"{error}.".capitalize())
    if token.subject != robot_id:
        return HandshakeRefusal("forbidden", 403, "Forbidden", "The token is not this robot's.")
    if token.scopes and "robot" not in token.scopes:
        return HandshakeRefusal(
            "forbidden",
            403,
            "Forbidden",
            "The token is for REST: none of its scopes is 'robot'. A robot's token has no scopes.",
        )
    return token


def _presented(request: HandshakeRequest) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    for subprotocol in request.subprotocols:
        if subprotocol.startswith(BEARER_SUBPROTOCOL):
            return subprotocol.removeprefix(BEARER_SUBPROTOCOL)
    return None


def _chosen(subprotocols: Sequence[str]) -> str | None:
    """Choose a subprotocol; never the one with a token, which proxies would log."""
    return next((name for name in subprotocols if not name.startswith(BEARER_SUBPROTOCOL)), None)
