"""The opening handshake (RFC 6455, section 4.2): what it must have, and how it is accepted."""

import base64
import binascii
import hashlib
from typing import NamedTuple

from charter_otel.telemetry.admission import Refusal

VERSION = b"13"
"""The protocol's version; there is no other."""

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16

Headers = list[tuple[bytes, bytes]]
"""With lower-case names, in the order in which they came."""


class Handshake(NamedTuple):
    """A request that asks for a WebSocket."""

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


def check(handshake: Handshake) -> Refusal | None:
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


def accept_value(key: bytes) -> bytes:
    """Return the value of ``Sec-WebSocket-Accept``."""
    return base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())


def subprotocols(headers: Headers) -> list[str]:
    """Return the subprotocols that are offered."""
    offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
    return [name for name in map(str.strip, offered.decode("latin-1").split(",")) if name]


def _refused(status: int, title: str, detail: str) -> Refusal:
    return Refusal("invalid_handshake", status, title, detail)


def _tokens(headers: Headers, name: bytes) -> set[bytes]:
    values = b",".join(value for key, value in headers if key == name)
    return {token.strip() for token in values.lower().split(b",")}


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
