"""A plain handshake never goes through the HTTP parser, and comes to the same there."""

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from charter_otel.server.handshake import Handshake, read_plain

PLAIN = (
    b"GET /api/telemetry/ws/robot_1?ack=1 HTTP/1.1\r\nHost: x\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nUser-Agent: a robot (1.0)\r\n\r\n"
)


class _Parsed:
    """llhttp's reading of a request."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))  # as the protocol does


def _parse(data: bytes) -> Handshake | None:
    parsed = _Parsed()
    parser = httptools.HttpRequestParser(parsed)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        if upgrade.args[0] == len(data):
            return Handshake(parser.get_method(), parsed.url, parsed.headers)
    except httptools.HttpParserError:
        pass
    return None


MUTATION = st.tuples(
    st.integers(0, len(PLAIN)),
    st.integers(0, 12),
    st.one_of(
        st.binary(max_size=6),
        st.sampled_from(
            [b"\r\n", b"\n", b" ", b"\t", b":", b"\0", b"#", b"%zz", b"\xff", b",", b"\r"]
        ),
        st.sampled_from(
            [b"\r\n ", b"Content-Length: 1\r\n", b"Host: y\r\n", b"HTTP/1.0", b"\r\nX:"]
        ),
    ),
)


@given(st.lists(MUTATION, max_size=3))
@example([])
@example([(133, 0, b" ")])
def test_the_plain_parser_finds_the_same_as_the_full_one(
    mutations: list[tuple[int, int, bytes]],
) -> None:
    """Target and headers are the same to the byte; what is not plain is the parser's."""
    data = PLAIN
    for at, removed, put in mutations:
        data = data[:at] + put + data[at + removed :]
    plain = read_plain(data)
    assert plain is None or plain == _parse(data)


def test_an_ordinary_handshake_is_plain() -> None:
    """Else the short way would serve nobody."""
    handshake = read_plain(PLAIN)
    assert handshake is not None
    assert handshake.target == b"/api/telemetry/ws/robot_1?ack=1"
    assert handshake.values(b"user-agent") == [b"a robot (1.0)"]
