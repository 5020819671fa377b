"""The address of a Redis: the URL, checked, and the clients made from it.

A URL may carry a password, so no error text here repeats any part of it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from redis.asyncio import Redis

from charter_otel.redis import pools
from charter_otel.redis.url import Node, Parts, split

SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)
"""URL schemes that lead to a Redis or Valkey: one server, a Sentinel set, or a cluster."""

EXAMPLES = (
    "redis://host:6379/0, rediss://user:password@host:6379/0, unix:///path/to/socket?db=0, "
    "redis+sentinel://host:26379,host:26379/mymaster/0 or redis+cluster://host:6379,host:6379"
)
"""A URL of each kind."""

_PORTS = {"sentinel": 26379}
_DIGITS = 6
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")
_PLACE = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._-]*)?")
"""Text that surely does not hold a password: a host, a port, a database."""
_LOOPBACK = re.compile(r"(?<=[/,])(localhost|\[::1\]|127\.[0-9.]+)(?=:)", re.IGNORECASE)
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})


class Address(NamedTuple):
    """A Redis that a URL names."""

    name: str
    """The address without user, password and options: fit for logs."""
    scheme: str
    """``redis``, ``rediss`` or ``unix``: how a connection is made."""
    options: Mapping[str, Any]
    """Arguments of the connection class; may hold a password."""
    nodes: Sequence[Node] = ()
    """Servers that know where the master is: the Sentinels, or nodes of the cluster."""
    service: str = ""
    """The name of the master in the Sentinels."""
    sentinel: Mapping[str, str] = {}
    """User and password of the Sentinels."""
    replicas: int = 0
    """Replicas that must have an event before it counts as published."""

    def __repr__(self) -> str:
        return f"Address({self.name})"

    @property
    def server(self) -> tuple[str, int | None]:
        """Host and port of the server, the first that the URL names; or a socket's path."""
        if self.nodes:
            return self.nodes[0]
        path: str = self.options.get("path", "")
        return (path, None) if path else (self.options["host"], self.options["port"])

    def place(self, prefix: str) -> str:
        """Return the stream with this key prefix in plain text, without a secret.

        All names of the loopback interface count as one.
        """
        name = _LOOPBACK.sub("127.0.0.1", self.name)
        return f"{name}/{self.options.get('db', 0)} {prefix}"

    def client(self, key: str = "{charter}") -> Redis:
        """Make a client that connects when it is first used, and neither retries nor waits long.

        Args:
            key: A key in the slot of the client's keys; in a cluster it selects the node.
        """
        if not self.nodes:
            return Redis.from_pool(pools.direct(self.scheme, self.options))
        if self.service:
            pool = pools.of_sentinel_set(
                self.nodes, self.service, self.scheme, self.options, self.sentinel
            )
        else:
            pool = pools.of_cluster(self.nodes, key, self.scheme, self.options)
        return Redis.from_pool(pool)


def parse_address(url: str) -> Address:
    """Return what a Redis URL names.

    Raises:
        ValueError: The URL is wrong; the text says what is right, and repeats nothing of it.
    """
    try:
        return _read(split(url))
    except ValueError as error:
        raise ValueError(f"{error}; write e.g. {EXAMPLES}") from None


def _read(parts: Parts) -> Address:
    if parts.scheme not in SCHEMES:
        raise ValueError(f"the scheme is none of {', '.join(SCHEMES)}")
    if "@" in parts.path:
        # Otherwise an intended password would be part of the name that logs show.
        raise ValueError(
            "user and password stand before host and path; '/' in them is %2F, '@' in a path is %40"
        )
    return _socket(parts) if parts.scheme == "unix" else _servers(parts)


def _servers(parts: Parts) -> Address:
    scheme, _, kind = parts.scheme.partition("+")
    known = {"replicas", *(_TLS_OPTIONS if scheme == "rediss" else ())}
    given = _options(parts, {"db", *known, *(_SENTINEL_OPTIONS if kind == "sentinel" else ())})
    replicas = _number(given.pop("replicas", "0"), "the number of replicas")
    sentinel = {
        name.removeprefix("sentinel_"): given.pop(name) for name in _SENTINEL_OPTIONS & given.keys()
    }
    nodes = parts.nodes(_PORTS.get(kind, 6379))
    service, path = _service(parts.path) if kind == "sentinel" else ("", parts.path[1:])
    name = f"{parts.scheme}://{','.join(map(str, nodes))}{f'/{service}' if service else ''}"
    options = {**_database(given, path, kind), **given, **parts.credentials}
    if kind:
        return Address(name, scheme, options, nodes, service, sentinel, replicas)
    if len(nodes) > 1:
        raise ValueError(f"{scheme}:// names one host; several are a Sentinel set or a cluster")
    return Address(name, scheme, {**nodes[0]._asdict(), **options}, replicas=replicas)


def _socket(parts: Parts) -> Address:
    if parts.hosts or len(parts.path) <= 1:
        raise ValueError("a unix:// URL names a socket's absolute path and no host")
    database = _database(_options(parts, {"db"}), "", "")
    path = unquote(parts.path)
    return Address(f"unix://{path}", "unix", {"path": path, **database, **parts.credentials})


def without_secrets(url: str) -> str:
    """Return the parts of a possibly wrong URL that surely hold no secret, for an error text."""
    scheme, separator, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    if not _SCHEME.fullmatch(scheme):
        return "***"
    shown = place if not place or _PLACE.fullmatch(place) else "***"
    return f"{scheme}{separator}{'***@' if at else ''}{shown}"


def _service(path: str) -> tuple[str, str]:
    """Return the master's name, and the database if any, from what follows the Sentinels."""
    name, _, database = path.removeprefix("/").partition("/")
    if not name:
        raise ValueError("it lacks the name that the Sentinels have for the master, e.g. /mymaster")
    return unquote(name), database


def _options(parts: Parts, known: set[str]) -> dict[str, str]:
    if not parts.query.keys() <= known:
        raise ValueError(f"it has an option other than {', '.join(sorted(known))}")
    return dict(parts.query)


def _database(given: dict[str, str], path: str, kind: str) -> dict[str, int]:
    number = _number(given.pop("db", path) or "0", "the database")
    if number and kind == "cluster":
        raise ValueError("a cluster has database 0 only")
    return {"db": number}


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError(f"{what} is not a number")
    return int(text)
