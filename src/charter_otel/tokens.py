"""Signed tokens: their subject, their scopes and their expiry.

A robot's token has the robot id as its subject and opens only that robot's WebSocket. A token
for the REST routes has scopes: ``read``, ``write``; it opens no WebSocket unless ``robot`` is one
of them. Both are JSON Web Tokens (RFC 7519) signed with HMAC-SHA256.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jwt

Scope = Literal["read", "write", "robot"]
"""The scopes that a token may have. A token without scopes is a robot's."""

ALGORITHM = "HS256"
AUDIENCE = "charter-otel"
LEEWAY = 60.0
"""Seconds by which the clocks of issuer and service may differ."""
OPEN = "charter_otel_open"
"""Option of a route handler that reads and writes nothing: it answers without a token."""

SHORT_SECRET = 32
"""Bytes below which a secret is short: it should have as many as the hash (RFC 7518, 3.2)."""


class InvalidToken(ValueError):  # noqa: N818 - the name says what the token is
    """A token is not accepted; the text says why and contains no part of the token."""


class Token(NamedTuple):
    """The content of a token."""

    subject: str
    """The robot id, or the name of another holder."""
    scopes: frozenset[str]
    expires_at: float
    """Unix seconds from which on it is not accepted any more, the leeway included."""
    labels: Mapping[str, str] = {}
    """Labels of the robot, e.g. its site."""


def sign(
    secret: str,
    subject: str,
    *,
    scopes: Sequence[Scope] = (),
    lifetime: float,
    now: float | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Sign a token.

    Args:
        secret: The service's secret.
        subject: The robot id, or the name of another holder.
        scopes: What the token allows; a robot's own token needs none.
        lifetime: Seconds until it expires.
        now: Unix seconds; the present, unless given.
        labels: Labels of the robot.
    """
    issued = time.time() if now is None else now
    claims: dict[str, Any] = {
        "sub": subject,
        "aud": AUDIENCE,
        "scope": " ".join(scopes),
        "iat": int(issued),
        "exp": int(issued + lifetime),
    }
    if labels:
        claims["labels"] = dict(labels)
    return jwt.encode(claims, secret, ALGORITHM)


def verify(secrets: Sequence[str], token: str) -> Token:
    """Check a token against the secrets that are accepted now; the first that fits decides.

    Raises:
        InvalidToken: No secret fits, the token has expired, or it is not a token.
    """
    reason = "the token is not valid"
    for secret in secrets:
        try:
            return _token(secret, token)
        except jwt.ExpiredSignatureError:
            reason = "the token has expired"
        except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError):
            continue
    raise InvalidToken(reason)


def _token(secret: str, token: str) -> Token:
    claims = jwt.decode(
        token,
        secret,
        [ALGORITHM],
        audience=AUDIENCE,
        leeway=LEEWAY,
        options={"require": ["sub", "exp", "aud"]},
    )
    scopes = frozenset(str(claims.get("scope", "")).split())
    # The library takes `exp` as an integer, whatever the claim is written as.
    expires_at = int(claims["exp"]) + LEEWAY
    return Token(str(claims["sub"]), scopes, expires_at, _labels(claims.get("labels")))


def _labels(claim: Any) -> Mapping[str, str]:
    if not isinstance(claim, dict):
        return {}
    return {name: str(v) for name, v in claim.items() if isinstance(v, str | int | float)}


def is_short(secret: str) -> bool:
    """Return whether the secret is shorter than it should be; the service warns of it at start."""
    return len(secret.encode()) < SHORT_SECRET


# PyJWT would warn of it for each token.
warnings.filterwarnings("ignore", category=jwt.InsecureKeyLengthWarning)
