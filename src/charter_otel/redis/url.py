"""The parts of a Redis URL, which may name several hosts.

`urllib.parse` reads URLs of one host, and its treatment of an IPv6 address after a comma depends
on the release of Python. This follows RFC 3986, with a list of hosts instead of one.
"""

import re
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_NODE = re.compile(
    r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[A-Za-z0-9._~-]+))(?::(?P<port>[0-9]{0,5}))?"
)
_HIGHEST_PORT = 65535


class Node(NamedTuple):
    """A server's endpoint."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Parts(NamedTuple):
    """A URL, split but not yet validated."""

    scheme: str
    """In lower case."""
    credentials: dict[str, str]
    """Username and password, as far as given."""
    hosts: str
    """All hosts, as they are written."""
    path: str
    query: dict[str, str]

    def nodes(self, default_port: int) -> list[Node]:
        """Return the endpoints.

        Raises:
            ValueError: A host or a port is wrong; the text repeats neither.
        """
        return [_node(each, default_port) for each in self.hosts.split(",")]


def split(url: str) -> Parts:
    """Return the parts of a URL.

    Raises:
        ValueError: The text is not a URL; the error says why, and repeats nothing of it.
    """
    if not url.isprintable() or not url.isascii() or " " in url or "#" in url:
        raise ValueError(
            "it has characters that must be written as %XX ('#', spaces, beyond ASCII)"
        )
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("it is not a URL, scheme://host:port/…")
    username, _, password = (found["user"] or "").partition(":")
    named = {"username": unquote(username), "password": unquote(password)}
    return Parts(
        scheme=found["scheme"].lower(),
        credentials={name: value for name, value in named.items() if value},
        hosts=found["hosts"],
        path=found["path"] or "",
        query=dict(parse_qsl(found["query"] or "", keep_blank_values=True)),
    )


def _node(text: str, default_port: int) -> Node:
    if not text or text.startswith(":"):
        raise ValueError("it names no host")
    found = _NODE.fullmatch(text)
    if found is None:
        raise ValueError(
            "it needs host, host:port, or [IPv6 address]:port; characters such as '/' and '@' "
            "in a user or a password are written as %XX"
        )
    port = int(found["port"] or default_port)
    if not 0 < port <= _HIGHEST_PORT:
        raise ValueError("the port is not a number from 1 to 65535")
    return Node(_ipv6(found["ipv6"]) if found["ipv6"] else found["name"].lower(), port)


def _ipv6(text: str) -> str:
    """Return an IPv6 address; in RFC 6874 the zone of a link-local one follows %25."""
    address = unquote(text)
    try:
        IPv6Address(address)
    except ValueError:
        raise ValueError("the text in brackets is not an IPv6 address") from None
    return address.lower()
