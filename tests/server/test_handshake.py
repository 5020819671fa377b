"""Opening handshakes that break RFC 6455 are answered as it asks, told and counted."""

from collections.abc import Iterator

import pytest

from support.service import ServiceProcess, service
from support.strangers import connected, shake_hands

PATH = "/api/telemetry/ws/robot_1"


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Yield a service."""
    with service(CHARTER_LOG_FORMAT="json") as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "status", "header"),
    [
        ({"Sec-WebSocket-Version": "8"}, 426, ("sec-websocket-version", "13")),
        ({"Sec-WebSocket-Version": ""}, 426, ("sec-websocket-version", "13")),
        ({"Sec-WebSocket-Key": "short"}, 400, None),
        ({"Sec-WebSocket-Key": ""}, 400, None),
        ({"Content-Length": "3"}, 400, None),
    ],
)
def test_a_handshake_that_breaks_the_protocol_is_refused(
    running: ServiceProcess, headers: dict[str, str], status: int, header: tuple[str, str] | None
) -> None:
    """The answer has a length and a trace id, and the log has the line."""
    with connected(running.http) as client:
        answer = shake_hands(client, running.http, PATH, headers)
    assert answer.status == status
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert header is None or answer.headers[header[0]] == header[1]
    trace_id = answer.problem_trace_id
    (line,) = [line for line in running.lines() if line.get("trace_id") == trace_id]
    assert (line["event"], line["outcome"]) == ("handshake refused", "invalid_handshake")


@pytest.mark.parametrize("other", [{}, {"TE": "trailers"}], ids=["plain", "HTTP parser"])
def test_white_space_behind_a_value_is_not_a_part_of_it(
    running: ServiceProcess, other: dict[str, str]
) -> None:
    """Whichever way the handshake is read."""
    with connected(running.http) as client:
        answer = shake_hands(
            client, running.http, PATH, {"Sec-WebSocket-Version": "13 \t", **other}
        )
    assert answer.status == 101


def test_a_handshake_that_is_no_get_is_refused(running: ServiceProcess) -> None:
    """405 names the method that it takes."""
    with connected(running.http) as client:
        answer = shake_hands(client, running.http, PATH, method="POST")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
