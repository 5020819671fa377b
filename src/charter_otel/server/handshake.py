"""The opening handshake (RFC 6455, section 4.2): its requirements and its answer."""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from charter_otel.server.timeouts import MAX_HEADER_BYTES
from charter_otel.telemetry.admission import HandshakeRefusal

VERSION = b"13"
"""The protocol's version; there is no other."""

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16

_PLAIN = re.compile(
    rb"GET (/[!$-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)+)\r\n"
)
"""A request without a body, in printable ASCII (RFC 9112, sections 3 and 5)."""
_UNUSUAL = frozenset({b"content-length", b"transfer-encoding", b"expect", b"trailer", b"te"})

Headers = list[tuple[bytes, bytes]]
"""With lower-case names, in the order in which they came."""


class Handshake(NamedTuple):
    """A request for a WebSocket."""

    method: bytes
    target: bytes
    headers: Headers

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a header."""
        return [value for key, value in self.headers if key == name]


def is_upgrade(headers: Headers) -> bool:
    """Return whether a request asks for a WebSocket."""
    return b"upgrade" in _tokens(headers, b"connection") and b"websocket" in _tokens(
        headers, b"upgrade"
    )


def check(handshake: Handshake) -> HandshakeRefusal | None:
    """Return what the handshake lacks, if anything."""
    if handshake.method != b"GET":
        return _refused(405, "Method Not Allowed", "A WebSocket handshake is a GET request.")
    versions = handshake.values(b"sec-websocket-version")
    if versions != [VERSION]:
        return _refused(
            426, "Upgrade Required", "Send Sec-WebSocket-Version: 13; there is no other version."
        )
    keys = handshake.values(b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return _refused(
            400, "Bad Request", "Sec-WebSocket-Key must be sent once: 16 bytes in base64."
        )
    if handshake.values(b"transfer-encoding") or set(handshake.values(b"content-length")) - {b"0"}:
        return _refused(400, "Bad Request", "A WebSocket handshake has no body.")
    return None


def read_plain(data: bytes) -> Handshake | None:
    """Read a whole, ordinary handshake; None leaves it to the HTTP parser.

    A request that two parsers might read differently is not ordinary: a header that comes twice, a
    body, another version, bytes beyond ASCII, anything behind the request.
    """
    found = _PLAIN.fullmatch(data, 0, MAX_HEADER_BYTES)
    if found is None:
        return None
    headers = []
    for line in found[2][:-2].split(b"\r\n"):
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    names = {name for name, _ in headers}
    plain = len(names) == len(headers) and b"host" in names and not names & _UNUSUAL
    handshake = Handshake(b"GET", found[1], headers)
    return handshake if plain and is_upgrade(headers) and check(handshake) is None else None


def accept_value(key: bytes) -> bytes:
    """Return the value of ``Sec-WebSocket-Accept``."""
    return base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())


def subprotocols(headers: Headers) -> list[str]:
    """Return the subprotocols that are offered."""
    offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
    return [name for name in map(str.strip, offered.decode("latin-1").split(",")) if name]


def _refused(status: int, title: str, detail: str) -> HandshakeRefusal:
    return HandshakeRefusal("invalid_handshake", status, title, detail)


def _tokens(headers: Headers, name: bytes) -> set[bytes]:
    values = b",".join(value for key, value in headers if key == name)
    return {token.strip() for token in values.lower().split(b",")}


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
