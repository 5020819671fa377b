"""Somebody at the other end of a TCP connection who keeps to no client library's manners."""

import base64
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ADDRESS = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""The strangers' address; all of 127.0.0.0/8 is loopback on Linux."""

_TEXT = 0x1


class Answer(NamedTuple):
    """A server's answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem_trace_id(self) -> str:
        """The trace id that the problem document names."""
        return str(json.loads(self.body)["trace_id"])

    @property
    def problem(self) -> dict[str, Any]:
        """The body as a problem document, without what differs from request to request."""
        problem: dict[str, Any] = json.loads(self.body)
        return {key: value for key, value in problem.items() if key not in {"trace_id", "instance"}}


@contextmanager
def connected(url: str, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """Open a TCP connection to the service, from an address that only strangers have."""
    parts = urlsplit(url)
    with socket.socket() as client:
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(10)
        if sys.platform == "linux":
            # So that the ports of the many that are gone do not keep a service from listening.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind((ADDRESS, 0))
        client.connect((parts.hostname, parts.port))
        yield client


def ask(
    url: str, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Answer:
    """Send one request and give the answer."""
    given = {"Host": urlsplit(url).netloc, "Connection": "close", **(headers or {})}
    if body and "Transfer-Encoding" not in given:
        given["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    with connected(url) as client:
        client.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        return read_answer(client)


def upgrade(url: str, path: str, headers: dict[str, str] | None = None) -> Answer:
    """Ask for a WebSocket and give the answer; the connection is dropped."""
    with connected(url) as client:
        return shake_hands(client, url, path, headers)


def shake_hands(
    client: socket.socket,
    url: str,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
) -> Answer:
    """Ask for a WebSocket on an open connection and give the answer."""
    request_upgrade(client, url, path, headers, method)
    return read_answer(client)


def request_upgrade(
    client: socket.socket,
    url: str,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
) -> None:
    """Ask for a WebSocket on an open connection, and do not wait for the answer."""
    given = {
        "Host": urlsplit(url).netloc,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    client.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))


def frame(text: bytes, opcode: int = _TEXT) -> bytes:
    """Return a masked WebSocket frame, as a client sends it (RFC 6455, section 5.2)."""
    mask = b"\x00\x00\x00\x00"
    if len(text) < 126:
        length = bytes([0x80 | len(text)])
    elif len(text) < 65_536:
        length = b"\xfe" + struct.pack("!H", len(text))
    else:
        length = b"\xff" + struct.pack("!Q", len(text))
    return bytes([0x80 | opcode]) + length + mask + text


class Flood:
    """Frames that are sent as fast as the connection takes them, whole and in order.

    Args:
        client: An open WebSocket.
        text: What each frame holds.
    """

    def __init__(self, client: socket.socket, text: bytes) -> None:
        client.setblocking(False)
        self._client = client
        self._burst = frame(text) * 1_000
        self._rest = b""

    def send(self) -> bool:
        """Send what the connection takes now, and tell whether it took any."""
        self._rest = self._rest or self._burst
        try:
            sent = self._client.send(self._rest)
        except BlockingIOError:
            return False
        self._rest = self._rest[sent:]
        return True


def read_answer(client: socket.socket) -> Answer:
    """Return the answer to what was asked."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = client.recv(65_536)
        if not received:
            raise ConnectionResetError("the service closed the connection without an answer")
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    status = int(lines[0].split()[1])
    if status == 101:
        return Answer(status, headers, b"")
    length = int(headers.get("content-length", -1))
    while len(body) != length and (received := client.recv(65_536)):
        body += received
    return Answer(status, headers, _unchunked(body) if "transfer-encoding" in headers else body)


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + body[:length], body[length + 2 :]
        if not length:
            break
    return whole
