"""Many small things that cost a peer nothing: the flood ends early, nobody else notices it."""

import json
import socket
from collections.abc import Iterator

import pytest

from charter_otel.server.floods import (
    CHUNK_BYTES,
    FREE_CHUNKS,
    PIECES_PER_SECOND,
    UNWANTED_BYTES,
)
from charter_otel.tokens import sign
from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, service
from support.strangers import ask, connected, frame, shake_hands

SECRET = "s" * 40
MISSIONS = "/api/metrics/missions"
FRAMES_PER_SECOND = 100
PING, PONG, FRAGMENT = (
    b"\x89\x80\x00\x00\x00\x00",
    b"\x8a\x80\x00\x00\x00\x00",
    b"\x00\x80\x00\x00\x00\x00",
)
BEGUN, ENDED = b"\x01\x80\x00\x00\x00\x00", b"\x80\x80\x00\x00\x00\x00"
"""The first and the last fragment of an empty frame."""
CLOSED_AS_RATE_LIMITED = b"\x88\x0e\x11\x4drate_limited"


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Yield a service with a secret."""
    with service(
        CHARTER_AUTH_SECRET=SECRET,
        CHARTER_MAX_FRAMES_PER_SECOND=str(FRAMES_PER_SECOND),
        CHARTER_LOG_FORMAT="json",
    ) as running:
        yield running


def _robot(client: socket.socket, running: ServiceProcess, robot_id: str) -> None:
    token = {"Authorization": f"Bearer {sign(SECRET, robot_id, lifetime=600)}"}
    path = f"/api/telemetry/ws/{robot_id}"
    assert shake_hands(client, running.http, path, token).status == 101


def _all_that_comes(client: socket.socket) -> bytes:
    received = b""
    try:
        while data := client.recv(65_536):
            received += data
    except ConnectionResetError:
        pass  # the rest of the flood found nobody
    return received


def _errors(running: ServiceProcess) -> list[dict[str, object]]:
    return [line for line in running.lines() if line["level"] == "error"]


@pytest.mark.parametrize(
    ("name", "begun", "unit"),
    [
        ("pings", b"", PING),
        ("large_pings", b"", b"\x89\xfd\x00\x00\x00\x00" + b"p" * 125),
        ("pongs", b"", PONG),
        ("fragments", BEGUN, FRAGMENT),
        ("readings", b"", frame(READING.encode())),
    ],
)
def test_a_robot_that_floods_is_let_go(
    running: ServiceProcess, name: str, begun: bytes, unit: bytes
) -> None:
    """The connection ends, whatever it goes on sending, and the event says why."""
    with connected(running.http) as client:
        _robot(client, running, name)
        with pytest.raises(ConnectionError):  # noqa: PT012 - it may come at any send
            client.sendall(begun)
            while True:
                client.sendall(unit * 1_000)
    wait_until(lambda: name in _closed(running), "it is closed")
    assert _closed(running)[name] == "rate_limited"


def _closed(running: ServiceProcess) -> dict[str, str]:
    payloads = [event["payload"] for event in running.events("telemetry.connection_closed")]
    return {payload["robot_id"]: payload["reason"] for payload in payloads}


def test_the_close_has_a_reason_for_the_robot(running: ServiceProcess) -> None:
    """A robot that sends a little too much gets to read the close frame."""
    with connected(running.http) as client:
        _robot(client, running, "told")
        client.sendall(PONG * (PIECES_PER_SECOND * 2))
        assert _all_that_comes(client).endswith(CLOSED_AS_RATE_LIMITED)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("pings_under", PING * (PIECES_PER_SECOND - 1)),
        ("pings_at", PING * PIECES_PER_SECOND),
        ("pongs_at", PONG * PIECES_PER_SECOND),
        ("fragments_at", BEGUN + FRAGMENT * (PIECES_PER_SECOND - 1) + ENDED),
    ],
)
def test_a_second_s_worth_may_come_at_once(running: ServiceProcess, name: str, sent: bytes) -> None:
    """Under and at the limit the robot stays connected, and is answered."""
    with connected(running.http) as client:
        _robot(client, running, name)
        client.sendall(sent + frame(b'{"type":"ping"}'))
        received = b""
        while b'{"type":"pong"}' not in received:
            data = client.recv(65_536)
            assert data
            received += data


def _chunked(size: int, count: int) -> bytes:
    return (b"%x\r\n%b\r\n" % (size, b"x" * size)) * count


def _is_read(running: ServiceProcess, body: bytes) -> bool:
    """Send a body that is not JSON; return whether it was read until this was found."""
    headers = {
        "Authorization": f"Bearer {sign(SECRET, 'writer', scopes=['write'], lifetime=600)}",
        "Transfer-Encoding": "chunked",
    }
    try:
        answer = ask(running.http, "POST", MISSIONS, headers, body + b"0\r\n\r\n")
    except ConnectionError:
        return False
    assert answer.status == 400
    return answer.headers.get("content-type") == "application/problem+json"


@pytest.mark.parametrize(
    ("size", "count", "read"),
    [
        (1, FREE_CHUNKS - 1, True),
        (1, FREE_CHUNKS, True),
        (1, FREE_CHUNKS + 1, False),
        (CHUNK_BYTES, FREE_CHUNKS * 2, True),
        (CHUNK_BYTES - 1, FREE_CHUNKS * 2, False),
    ],
)
def test_a_body_may_come_in_chunks_that_are_not_tiny(
    running: ServiceProcess, size: int, count: int, *, read: bool
) -> None:
    """Under and at the limits it is read; over them nobody reads it."""
    assert _is_read(running, _chunked(size, count)) is read


def test_a_stranger_s_tiny_chunks_end_the_connection(running: ServiceProcess) -> None:
    """Before or after he has his 401."""
    with connected(running.http) as client, pytest.raises(ConnectionError):  # noqa: PT012
        client.sendall(
            f"POST {MISSIONS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        assert client.recv(100).startswith(b"HTTP/1.1 401")
        while True:
            client.sendall(_chunked(1, 10_000))


def test_a_client_with_its_answer_cannot_send_for_ever(running: ServiceProcess) -> None:
    """The rest of a body is thrown away up to the size that a body may have."""
    head = f"POST {MISSIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n"
    with connected(running.http) as client, pytest.raises(ConnectionError):  # noqa: PT012
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 401")
        for _ in range(UNWANTED_BYTES // 65_536 * 10):
            client.sendall(b"x" * 65_536)


def test_nonsense_after_the_answer_is_no_error_of_ours(running: ServiceProcess) -> None:
    """The connection is closed; the log does not call it a failure of the service."""
    before = _errors(running)
    with connected(running.http) as client:
        client.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 404")
        client.sendall(b"no size\r\n")
        _all_that_comes(client)
    assert ask(running.http, "GET", "/healthz").status == 200
    assert _errors(running) == before


def test_a_client_that_hangs_up_amid_the_body_is_not_an_error(running: ServiceProcess) -> None:
    """Nor is it a 500 that somebody is paged for."""
    before = _errors(running)
    token = sign(SECRET, "writer", scopes=["write"], lifetime=600)
    for _ in range(3):
        with connected(running.http) as client:
            client.sendall(
                f"POST {MISSIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                "Content-Length: 100\r\n\r\nhalf".encode()
            )
    assert ask(running.http, "GET", "/healthz").status == 200
    assert _errors(running) == before


def test_a_handshake_with_bytes_that_no_header_has_is_answered(running: ServiceProcess) -> None:
    """Neither server's parser leaves it without one, or takes it for an error of ours."""
    with connected(running.http) as client:
        headers = {"Sec-WebSocket-Protocol": "\xff", "Authorization": "\xff"}
        answer = shake_hands(client, running.http, "/api/telemetry/ws/robot_1", headers)
    assert answer.status in {400, 401}
    assert _errors(running) == []
    assert json.loads(ask(running.http, "GET", "/healthz").body) == {"status": "ok"}
