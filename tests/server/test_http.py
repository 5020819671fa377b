"""Requests that two servers in a row might understand in two ways are refused."""

from collections.abc import Iterator

import pytest

from support.service import ServiceProcess, service
from support.strangers import connected

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/metrics/missions HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Yield a service whose idle connections stay for 2 s."""
    with service("--keep-alive", "2", CHARTER_LOG_FORMAT="json") as running:
        yield running


def _talk(running: ServiceProcess, *sent: bytes) -> bytes:
    """Send, and return all that comes until the service hangs up."""
    received = b""
    with connected(running.http) as client:
        for part in sent:
            client.sendall(part)
        while data := client.recv(65_536):
            received += data
    return received


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Content-Length: -3\r\n\r\n",
        POST + b"Content-Length: +3\r\n\r\nabc",
        POST + b"Content-Length: 3, 3\r\n\r\nabc",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        GET + b"Host: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        GET + b"X: a\0b\r\n\r\n",
        GET + b"X\x01: a\r\n\r\n",
        GET + b"X: a\rb\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_an_ambiguous_request_ends_the_connection(running: ServiceProcess, request_: bytes) -> None:
    """One answer, an error, and nothing of what comes behind it is taken for a request."""
    answer = _talk(running, request_ + GET + b"\r\n")
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 505"))
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_in_a_row_are_answered_in_their_order(running: ServiceProcess) -> None:
    """A thousand at once are answered one by one; the last one says that it is."""
    many = GET + b"\r\n"
    answers = _talk(running, many * 999 + GET + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == 1_000


def test_an_idle_connection_stays_as_long_as_is_said(running: ServiceProcess) -> None:
    """The second request comes over the same connection; then it is closed in silence."""
    with connected(running.http) as client:
        for _ in range(2):
            client.sendall(GET + b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                data = client.recv(65_536)
                assert data
                answer += data
            assert answer.startswith(b"HTTP/1.1 200")
        assert client.recv(100) == b""


def test_a_trailer_is_no_header(running: ServiceProcess) -> None:
    """A trailer changes nothing that the head has decided."""
    body = b"2\r\n[]\r\n0\r\nHost: evil\r\nX: y\r\n\r\n"
    answer = _talk(
        running, POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    )
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not answer.startswith(b"HTTP/1.1 5")


def test_another_upgrade_is_left_out(running: ServiceProcess) -> None:
    """A client that offers HTTP/2 is answered in HTTP/1.1 (RFC 9110, section 7.8)."""
    answer = _talk(running, GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
