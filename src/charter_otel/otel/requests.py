"""The attributes of a request's span that no other request may share.

Source: semantic conventions for HTTP server spans.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from charter_otel.otel import semconv

Attributes = Mapping[str, str | int]

_SHOWN = frozenset(
    {"ack", "after", "limit", "offset", "robot_id", "simulated", "sort", "status", "type"}
)
_LONGEST = 512
_NAME = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,23}")
_VALUE = re.compile(r"[0-9A-Za-z._:*,@+-]{0,64}")
"""Values of our own parameters; a token is longer."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,253})(?::([0-9]{0,5}))?")
_HIGHEST_PORT = 65535
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def of_request(scope: Any) -> dict[str, str | int]:
    """Return path, query, server and protocol of an HTTP request or a WebSocket's handshake."""
    own: dict[str, str | int] = {semconv.URL_PATH: scope["path"][:_LONGEST], **_server(scope)}
    if query := scope.get("query_string"):
        own[semconv.URL_QUERY] = redacted(query)
    if version := scope.get("http_version"):
        own[semconv.NETWORK_PROTOCOL_VERSION] = version
    return own


def redacted(query: bytes) -> str:
    """Return a query with the values of our own parameters only: another may be a secret."""
    pairs = query[:_LONGEST].decode("latin-1").split("&")
    return "&".join(_redacted(*pair.partition("=")) for pair in pairs)


def _redacted(name: str, equals: str, value: str) -> str:
    if name in _SHOWN and _VALUE.fullmatch(value):
        return f"{name}{equals}{value}"
    if not equals or not _NAME.fullmatch(name):
        return "REDACTED" if name or value else equals
    return f"{name}=REDACTED" if value else f"{name}="


def _server(scope: Any) -> Attributes:
    """Return the server that the client asked for, or else the local socket.

    A request with several ``Host`` headers, or a malformed one, names no server. Headers that
    proxies add are not read: without a proxy, any client can send them.
    """
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) == 1 and len(hosts[0]) <= _LONGEST:
        named = _named(hosts[0], scope["scheme"])
        if named is not None:
            return named
    address, port = scope.get("server") or (None, None)
    socket = {semconv.SERVER_ADDRESS: address, semconv.SERVER_PORT: port}
    return {key: value for key, value in socket.items() if value}


@lru_cache(maxsize=256)
def _named(host: bytes, scheme: str) -> Attributes | None:
    """Return the address and the port of a ``Host`` header (RFC 9110, 7.2), or None."""
    found = _HOST.fullmatch(host.decode("latin-1"))
    port = int((found and found[2]) or _PORTS.get(scheme, 80))
    if found is None or not 0 < port <= _HIGHEST_PORT:
        return None
    return {semconv.SERVER_ADDRESS: found[1].strip("[]").lower(), semconv.SERVER_PORT: port}
