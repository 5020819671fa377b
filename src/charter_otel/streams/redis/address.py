"""Where a Redis is: the URL, checked, and the connections made from it.

A URL may carry a password, so no error text here repeats any part of it.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import (
    Connection,
    ConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SCHEMES = ("redis", "rediss", "unix")
"""URL schemes that lead to a Redis or Valkey."""

TIMEOUT = 1.0
"""Seconds that connecting, or one reply, may take."""

_EXAMPLES = "redis://host:6379/0, rediss://user:password@host:6379/0 or unix:///path/to/socket?db=0"
_CONNECTIONS: dict[str, type[Connection | UnixDomainSocketConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}
_DIGITS = 6
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")
_PLACE = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._-]*)?")
"""What is surely no password: a host, a port, a database."""
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"})


class Address(NamedTuple):
    """A Redis that a URL names."""

    name: str
    """The address without user, password and options: fit for logs."""
    scheme: str
    options: Mapping[str, Any]
    """Arguments of the connection class; may hold a password."""

    def __repr__(self) -> str:
        return f"Address({self.name})"

    def digest(self, prefix: str) -> str:
        """Give a short name for the stream with this key prefix, without a secret."""
        stream = f"{self.name}/{self.options.get('db', 0)} {prefix}"
        return sha256(stream.encode()).hexdigest()[:12]

    def client(self) -> Redis:
        """Make a client that connects when it is first used, and neither retries nor waits long.

        redis-py's own ten retries would hold a task for minutes; each part of the stream has its
        own backoff instead. RESP2 keeps replies the same from Redis 6.2 to the newest.
        """
        # Older redis-py does not compare the certificate's name with the host's by itself.
        checked: dict[str, Any] = {"ssl_check_hostname": True} if self.scheme == "rediss" else {}
        pool = ConnectionPool(
            connection_class=_CONNECTIONS[self.scheme],
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            **checked,
            **self.options,
        )
        return Redis.from_pool(pool)


def parse_address(url: str) -> Address:
    """Read and check a Redis URL.

    Raises:
        ValueError: It is none; the text says what is right, and nothing of the URL.
    """
    parts = _split(url)
    credentials = _credentials(parts)
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or len(parts.path) <= 1:
            raise _wrong("a unix:// URL names a socket's absolute path and no host")
        if "@" in parts.path:
            # Else what was meant as a password would be part of the name that logs show.
            raise _wrong("user and password stand before the path; '@' in the path is %40")
        database, rest = _options(parts, frozenset())
        path = unquote(parts.path)
        return Address(f"unix://{path}", "unix", {"path": path, **database, **rest, **credentials})
    host, port = _endpoint(parts)
    database, rest = _options(parts, _TLS_OPTIONS if parts.scheme == "rediss" else frozenset())
    where = {"host": host, "port": port}
    name = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    return Address(name, parts.scheme, {**where, **database, **rest, **credentials})


def without_secrets(url: str) -> str:
    """Give a URL that may be wrong as far as it surely holds no secret, for an error text."""
    scheme, separator, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    if not _SCHEME.fullmatch(scheme):
        return "***"
    shown = place if not place or _PLACE.fullmatch(place) else "***"
    return f"{scheme}{separator}{'***@' if at else ''}{shown}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong("it cannot be read") from None
    if parts.scheme not in SCHEMES:
        raise _wrong("the scheme is none of redis, rediss and unix")
    if parts.fragment or not url.isprintable() or not url.isascii() or " " in url:
        raise _wrong("it has characters that must be written as %XX ('#', spaces, beyond ASCII)")
    return parts


def _credentials(parts: SplitResult) -> dict[str, str]:
    named = {"username": parts.username, "password": parts.password}
    return {name: unquote(value) for name, value in named.items() if value}


def _endpoint(parts: SplitResult) -> tuple[str, int]:
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _wrong("the port is no number from 1 to 65535") from None
    if not host or any(c in host for c in "/\\%?"):
        raise _wrong("it names no host")
    if port == 0:
        raise _wrong("the port is no number from 1 to 65535")
    return host, port or 6379


def _options(parts: SplitResult, known: frozenset[str]) -> tuple[dict[str, int], dict[str, str]]:
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = "" if parts.scheme == "unix" else parts.path.removeprefix("/")
    database = given.pop("db", path)
    if database and not (database.isascii() and database.isdigit() and len(database) <= _DIGITS):
        raise _wrong("the database is no number")
    if not given.keys() <= known:
        allowed = ", ".join(sorted({"db", *known}))
        raise _wrong(f"it has an option other than {allowed}")
    return {"db": int(database or 0)}, given


def _wrong(reason: str) -> ValueError:
    return ValueError(f"{reason}; write e.g. {_EXAMPLES}")
