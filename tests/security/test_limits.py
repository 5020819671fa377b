"""Each limit at the real server: just under, at, and just over it."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, service
from support.strangers import Answer, ask, connected, read_answer, request_upgrade, upgrade

FRAME_BYTES, FRAMES, CONNECTIONS = 200, 20, 3
PATH = "/api/telemetry/ws"
MISSIONS = "/api/metrics/missions"


@pytest.fixture(scope="module")
def limited() -> Iterator[ServiceProcess]:
    """Yield a service with low limits."""
    variables = {
        "CHARTER_MAX_FRAME_BYTES": str(FRAME_BYTES),
        "CHARTER_MAX_FRAMES_PER_SECOND": str(FRAMES),
        "CHARTER_MAX_CONNECTIONS": str(CONNECTIONS),
    }
    with service(**variables) as running:
        yield running


def _connect(running: ServiceProcess, robot_id: str, query: str = "") -> ClientConnection:
    return connect(f"{running.websocket}{PATH}/{robot_id}{query}", proxy=None, compression=None)


def _padded(size: int, character: str = "x") -> str:
    """Return a reading of that many bytes."""
    start = READING[:-1] + ',"note":"'
    room = size - len(start) - 2
    return start + character * (room // len(character.encode())) + '"}'


@pytest.mark.parametrize("fragments", [1, 3])
def test_a_frame_may_be_as_large_as_the_limit(limited: ServiceProcess, fragments: int) -> None:
    """Under and at the limit it is taken; a byte over, the connection is closed with 1009."""
    with _connect(limited, f"robot_size_{fragments}", "?ack=1") as robot:
        for count, size in enumerate((FRAME_BYTES - 1, FRAME_BYTES), 1):
            robot.send(_pieces(_padded(size), fragments))
            assert json.loads(robot.recv(timeout=5)) == {"type": "ack", "n": count}
        robot.send(_pieces(_padded(FRAME_BYTES + 1), fragments))
        with pytest.raises(ConnectionClosed) as closed:
            robot.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def _pieces(text: str, count: int) -> str | list[str]:
    if count == 1:
        return text
    size = len(text) // count + 1
    return [text[start : start + size] for start in range(0, len(text), size)]


def test_the_limit_counts_bytes_not_characters(limited: ServiceProcess) -> None:
    """A frame of few characters and many bytes is too big as well."""
    with _connect(limited, "robot_wide") as robot:
        robot.send(_padded(FRAME_BYTES * 2, "é"))
        with pytest.raises(ConnectionClosed) as closed:
            robot.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("over", [-1, 0])
def test_so_many_frames_are_taken_at_once(limited: ServiceProcess, over: int) -> None:
    """Under and at the limit all are taken."""
    assert _refused(limited, FRAMES + over) == []


def test_a_frame_over_the_rate_is_refused(limited: ServiceProcess) -> None:
    """One over the limit, one is refused and the robot stays."""

    def refused() -> bool:
        # A slow machine earns a frame while it sends, and tries again.
        codes = _refused(limited, FRAMES + 1)
        assert codes in ([], ["rate_limited"])
        return codes == ["rate_limited"]

    wait_until(refused, "a frame is refused")


def _refused(running: ServiceProcess, frames: int) -> list[str]:
    with _connect(running, f"robot_rate_{frames}", "?ack=1") as robot:
        for _ in range(frames):
            robot.send(READING)
        answers = [json.loads(robot.recv(timeout=5)) for _ in range(frames)]
    return [answer["error"]["code"] for answer in answers if "error" in answer]


def test_so_many_robots_may_be_connected(limited: ServiceProcess) -> None:
    """Up to the limit they are accepted, one over it gets 503; a takeover needs no place."""
    wait_until(lambda: _active(limited) == 0, "the robots before are gone")
    with ExitStack() as robots:
        first, *_ = [
            robots.enter_context(_connect(limited, f"robot_{number}"))
            for number in range(CONNECTIONS)
        ]
        with pytest.raises(InvalidStatus) as refused, _connect(limited, "robot_one_more"):
            pass
        assert refused.value.response.status_code == 503
        robots.enter_context(_connect(limited, "robot_0"))
        with pytest.raises(ConnectionClosed) as superseded:
            first.recv(timeout=5)
        assert superseded.value.rcvd is not None
        assert superseded.value.rcvd.reason == "superseded"
        wait_until(lambda: _active(limited) == CONNECTIONS, "one connection for each robot")


def test_no_more_are_connected_when_all_come_at_once(limited: ServiceProcess) -> None:
    """Each handshake is decided by how many robots there are at that moment."""
    wait_until(lambda: _active(limited) == 0, "the robots before are gone")
    with ExitStack() as clients:
        strangers = [clients.enter_context(connected(limited.http)) for _ in range(30)]
        limited.pause()
        for number, client in enumerate(strangers):
            request_upgrade(client, limited.http, f"{PATH}/robot_{number}")
        limited.resume()
        statuses = Counter(read_answer(client).status for client in strangers)
    assert statuses == {101: CONNECTIONS, 503: 30 - CONNECTIONS}


def _active(running: ServiceProcess) -> int:
    connections: int = running.get("/api/telemetry/info")["active_connections"]
    return connections


def test_so_many_handshakes_may_come_from_an_address() -> None:
    """At the limit all are accepted; beyond it the answer is 429, and REST goes on as before."""
    with service(CHARTER_MAX_HANDSHAKES_PER_SECOND="10") as running:
        answers = [upgrade(running.websocket, f"{PATH}/robot_{n}") for n in range(40)]
        probe = ask(running.http, "GET", "/api/telemetry/info")
    statuses = [answer.status for answer in answers]
    assert statuses[:10] == [101] * 10
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) >= 10
    assert 1 <= int(refused[0].headers["retry-after"]) <= 10
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert "10 handshakes a second" in refused[0].problem["detail"]
    assert "127.0.0.1" not in refused[0].body.decode()
    assert probe.status == 200


@pytest.mark.parametrize("path", [f"{PATH}/robot_1", "/api/telemetry/info"])
def test_headers_have_16_kib(limited: ServiceProcess, path: str) -> None:
    """Under and at the limit a request is answered as usual; over it with 431, and nothing runs."""
    send = upgrade if path.startswith(PATH) else _get
    spare = 16_384 - _head_bytes(limited, path) - len("X-A: \r\nX-B: \r\nX-C: \r\n")
    for extra, statuses in ((-1, {101, 200}), (0, {101, 200}), (1, {431})):
        rest = spare + extra - 2 * 5_000
        headers = {"X-A": "a" * 5_000, "X-B": "b" * 5_000, "X-C": "c" * rest}
        assert send(limited.http, path, headers).status in statuses


def _get(url: str, path: str, headers: dict[str, str]) -> Answer:
    return ask(url, "GET", path, headers)


def _head_bytes(running: ServiceProcess, path: str) -> int:
    host = f"GET {path} HTTP/1.1\r\nHost: {running.http.removeprefix('http://')}\r\n\r\n"
    if not path.startswith(PATH):
        return len(f"{host}Connection: close\r\n")
    upgrading = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    return len(f"{host}{upgrading}Sec-WebSocket-Key: {'k' * 24}\r\n")


def test_a_body_has_8_mib(limited: ServiceProcess) -> None:
    """At the limit it is read (and is not JSON); more is refused when it is announced."""
    at = ask(limited.http, "POST", MISSIONS, body=b"x" * 8_388_608)
    over = ask(limited.http, "POST", MISSIONS, {"Content-Length": "8388609"})
    assert (at.status, over.status) == (400, 413)


def test_a_body_that_is_not_announced_has_8_mib_too(limited: ServiceProcess) -> None:
    """It is counted as it comes."""
    headers = {"Transfer-Encoding": "chunked"}
    for size, status in ((8_388_608, 400), (8_388_609, 413)):
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
        assert ask(limited.http, "POST", MISSIONS, headers, body).status == status
