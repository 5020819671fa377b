"""RFC 6455 on the service's socket, by the categories of the Autobahn test suite's cases.

Its cases ask for an echo. Here a message is a robot's ping, padded to the size of the case: its
`pong` shows that it came whole. `test_frames.py` compares the parser with another one, and
`test_closing_handshake.py` covers closes behind much that is under way.
"""

import itertools
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from server.test_frames import frame
from support.service import ServiceProcess, service
from support.strangers import connected, shake_hands

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x81, 0x82, 0x80, 0x88, 0x89, 0x8A
"""First bytes of final frames; without 0x80 they are those of fragments."""
FIRST = 0x01
MORE = 0x00
GOODBYE = frame(CLOSE, struct.pack("!H", 1000))
OCTETS = 1
"""As long as a piece is that is sent by itself."""

Answers = list[tuple[str, Any]]

TAKEN = ("text", "pong")
BYE = ("close", 1000)
BROKEN = ("close", 1002)
GARBLED = ("close", 1007)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Yield a service."""
    with service(CHARTER_LOG_FORMAT="json") as running:
        yield running


def message(size: int = 15, text: str = "") -> bytes:
    """Return a robot's ping of so many bytes, with a text in it."""
    known = json.dumps({"type": "ping", "text": text}, ensure_ascii=False) if text else ""
    return (known or '{"type":"ping"}').encode().ljust(size)


def exchange(running: ServiceProcess, sent: bytes, piece: int = 1_000_000) -> Answers:
    """Send bytes in pieces as a robot of its own, and return the answers up to the end."""
    path = f"/api/telemetry/ws/case_{next(_numbers)}"
    with connected(running.http) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert shake_hands(client, running.http, path).status == 101
        for at in range(0, len(sent), piece):
            client.sendall(sent[at : at + piece])
        received = b""
        while more := client.recv(65_536):
            received += more
    return [*_answers(received)]


def _answers(received: bytes) -> Iterator[tuple[str, Any]]:
    while received:
        first, length, start = received[0], received[1], 2
        if length == 126:
            length, start = int.from_bytes(received[2:4], "big"), 4
        payload, received = received[start : start + length], received[start + length :]
        if first == TEXT:
            answer = json.loads(payload)
            yield "text", answer["error"]["code"] if "error" in answer else answer["type"]
        elif first == CLOSE:
            yield "close", int.from_bytes(payload[:2], "big") if payload else None
        else:
            assert first == PONG
            yield "pong", payload


@pytest.mark.parametrize("first", [TEXT, BINARY])
@pytest.mark.parametrize(
    ("size", "piece"),
    [*((size, 1_000_000) for size in (125, 126, 127, 128, 65_535, 65_536)), (65_536, 997)],
)
def test_1_a_message_of_any_length_is_taken(
    running: ServiceProcess, first: int, size: int, piece: int
) -> None:
    """At each border of the three forms of a length, in one piece and in many."""
    sent = frame(first, message(size)) + GOODBYE
    assert exchange(running, sent, piece) == [TAKEN, BYE]


@pytest.mark.parametrize("first", [TEXT, BINARY])
def test_1_an_empty_message_is_a_message(running: ServiceProcess, first: int) -> None:
    """It is not a reading, which its answer says."""
    assert exchange(running, frame(first, b"") + GOODBYE) == [("text", "invalid_json"), BYE]


@pytest.mark.parametrize(
    "payload", [b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"x" * 125]
)
@pytest.mark.parametrize("piece", [1_000_000, OCTETS])
def test_2_a_ping_is_answered_with_its_payload(
    running: ServiceProcess, payload: bytes, piece: int
) -> None:
    """Ten of them are, in their order."""
    pings = [payload[:124] + bytes([n]) if payload else b"" for n in range(10)]
    sent = b"".join(frame(PING, ping) for ping in pings) + GOODBYE
    assert exchange(running, sent, piece) == [*(("pong", ping) for ping in pings), BYE]


def test_2_a_ping_that_is_too_long_breaks_the_protocol(running: ServiceProcess) -> None:
    """A control frame has 125 bytes at most."""
    assert exchange(running, frame(PING, b"x" * 126)) == [BROKEN]


@pytest.mark.parametrize("payload", [b"", b"nobody asked"])
def test_2_a_pong_that_nobody_asked_for_is_ignored(running: ServiceProcess, payload: bytes) -> None:
    """The next ping is answered."""
    sent = frame(PONG, payload) + frame(PING, b"well?") + GOODBYE
    assert exchange(running, sent) == [("pong", b"well?"), BYE]


@pytest.mark.parametrize("reserved", range(0x10, 0x80, 0x10))
@pytest.mark.parametrize("first", [TEXT, BINARY, PING, PONG, CLOSE])
def test_3_a_reserved_bit_breaks_the_protocol(
    running: ServiceProcess, first: int, reserved: int
) -> None:
    """The message before it is answered, and nothing behind it is."""
    sent = frame(TEXT, message()) + frame(first | reserved, b"") + frame(PING, b"late") + GOODBYE
    assert exchange(running, sent) == [TAKEN, BROKEN]


@pytest.mark.parametrize("opcode", [*range(0x3, 0x8), *range(0xB, 0x10)])
@pytest.mark.parametrize("payload", [b"", b"Hello, world!"])
def test_4_an_unknown_opcode_breaks_the_protocol(
    running: ServiceProcess, opcode: int, payload: bytes
) -> None:
    """With a payload and without one."""
    sent = frame(TEXT, message()) + frame(0x80 | opcode, payload) + frame(PING, b"late")
    assert exchange(running, sent) == [TAKEN, BROKEN]


@pytest.mark.parametrize("piece", [1_000_000, OCTETS])
def test_5_a_message_comes_in_fragments_with_pings_between(
    running: ServiceProcess, piece: int
) -> None:
    """The pings are answered before the message is whole; fragments may be empty."""
    sent = (
        frame(FIRST, b"")
        + frame(MORE, b'{"type":')
        + frame(PING, b"one")
        + frame(MORE, b"")
        + frame(PING, b"two")
        + frame(CONTINUATION, b'"ping"}')
    )
    expected = [("pong", b"one"), ("pong", b"two"), TAKEN]
    assert exchange(running, sent * 2 + GOODBYE, piece) == [*expected * 2, BYE]


OUT_OF_PLACE: dict[str, tuple[bytes, Answers]] = {
    "a ping in fragments": (frame(PING & 0x0F, b"a") + frame(CONTINUATION, b"b"), [BROKEN]),
    "a pong in fragments": (frame(PONG & 0x0F, b"a") + frame(CONTINUATION, b"b"), [BROKEN]),
    "a close in fragments": (frame(CLOSE & 0x0F, b"") + frame(CONTINUATION, b""), [BROKEN]),
    "nothing to continue": (frame(CONTINUATION, message()), [BROKEN]),
    "nothing to go on with": (frame(MORE, b"{") + frame(CONTINUATION, b"}"), [BROKEN]),
    "behind a message": (frame(TEXT, message()) + frame(MORE, message()), [TAKEN, BROKEN]),
    "behind fragments": (
        frame(FIRST, message()) + frame(CONTINUATION, b"") + frame(CONTINUATION, b" "),
        [TAKEN, BROKEN],
    ),
    "a message amid another": (frame(FIRST, b"{") + frame(TEXT, message()), [BROKEN]),
    "two messages begun": (frame(FIRST, b"{") + frame(FIRST, b"}"), [BROKEN]),
    "a binary one amid a text": (frame(FIRST, b"{") + frame(BINARY, message()), [BROKEN]),
}


@pytest.mark.parametrize(("sent", "expected"), OUT_OF_PLACE.values(), ids=OUT_OF_PLACE)
def test_5_a_fragment_out_of_place_breaks_the_protocol(
    running: ServiceProcess, sent: bytes, expected: Answers
) -> None:
    """Each with the messages before it answered."""
    assert exchange(running, sent + frame(PING, b"late")) == expected


VALID = [
    "κόσμε",
    "\x00",
    "\x7f\x80߿ࠀ\uffff\U00010000\U0010ffff",
    "\ud7ff\ue000�\ufffe",
    "Hello-µ@ßöäüàá",
]


@pytest.mark.parametrize("text", VALID)
@pytest.mark.parametrize("piece", [1_000_000, OCTETS])
def test_6_valid_text_is_taken_whole_and_cut_anywhere(
    running: ServiceProcess, text: str, piece: int
) -> None:
    """A character may be cut by fragments and by segments."""
    whole = message(text=text)
    cut = b"".join(frame(MORE, whole[n : n + 1]) for n in range(1, len(whole)))
    sent = frame(TEXT, whole) + frame(FIRST, whole[:1]) + cut + frame(CONTINUATION, b"") + GOODBYE
    assert exchange(running, sent, piece) == [TAKEN, TAKEN, BYE]


INVALID = (
    "80 bf80 c0af c1bf e080af e09fbf eda080 edafbfedbfbf f08080af f08fbfbf f4908080 f7bfbfbf"
    " f888808080 fc8480808080 cebae1bd fe ff fefeffff"
)
"""Continuations alone, overlong forms, surrogates, beyond U+10FFFF, cut characters; in hex."""


@pytest.mark.parametrize("code_units", INVALID.split())
def test_6_text_that_is_not_utf_8_ends_the_connection(
    running: ServiceProcess, code_units: str
) -> None:
    """With 1007, in a frame, in fragments, and in a close's reason; binary it harms nothing."""
    text = bytes.fromhex(code_units)
    half = len(text) // 2
    cut = frame(FIRST, b"{" + text[:half]) + frame(CONTINUATION, text[half:])
    assert exchange(running, frame(TEXT, b"{" + text)) == [GARBLED]
    assert exchange(running, cut) == [GARBLED]
    assert exchange(running, frame(CLOSE, b"\x03\xe8" + text)) == [GARBLED]
    assert exchange(running, frame(BINARY, text) + GOODBYE) == [("text", "invalid_json"), BYE]


@pytest.mark.parametrize("code_units", ["f490", "eda080", "c0", "ff"])
def test_6_invalid_text_is_found_before_the_message_is_whole(
    running: ServiceProcess, code_units: str
) -> None:
    """The fragment that shows it is the last one that is read; surrogates show in three bytes."""
    sent = frame(FIRST, b"{") + frame(MORE, bytes.fromhex(code_units))
    assert exchange(running, sent) == [GARBLED]


LATE = {
    "a close": GOODBYE,
    "another close": frame(CLOSE, struct.pack("!H", 3000)),
    "a ping": frame(PING, b"late"),
    "a message": frame(TEXT, message()),
    "no text": frame(TEXT, b"\xff"),
    "no frame": b"\xff" * 1_000,
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_7_nothing_behind_a_close_counts(running: ServiceProcess, late: bytes) -> None:
    """The message before it is answered, and the close once."""
    assert exchange(running, frame(TEXT, message()) + GOODBYE + late) == [TAKEN, BYE]


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"", None),
        (b"\x03", 1002),
        (b"\x03\xe8", 1000),
        (b"\x03\xe8Hello, world!", 1000),
        (b"\x03\xe8" + b"x" * 123, 1000),
        (b"\x03\xe8" + b"x" * 124, 1002),
    ],
    ids=["empty", "a byte", "a code", "a reason", "the longest reason", "a longer one"],
)
def test_7_a_close_of_each_length(
    running: ServiceProcess, payload: bytes, answer: int | None
) -> None:
    """It is answered with its code, or refused."""
    assert exchange(running, frame(CLOSE, payload)) == [("close", answer)]


VALID_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
INVALID_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]


@pytest.mark.parametrize("code", VALID_CODES)
def test_7_a_code_that_a_robot_may_send_is_repeated(running: ServiceProcess, code: int) -> None:
    """RFC 6455 allows it, or the registry of codes does."""
    assert exchange(running, frame(CLOSE, struct.pack("!H", code))) == [("close", code)]


@pytest.mark.parametrize("code", INVALID_CODES)
def test_7_a_code_that_nobody_may_send_is_refused(running: ServiceProcess, code: int) -> None:
    """Reserved ones stay off the wire."""
    assert exchange(running, frame(CLOSE, struct.pack("!H", code))) == [BROKEN]


def test_the_service_is_none_the_worse(running: ServiceProcess) -> None:
    """After all of them it serves on, and none was a fault of its own."""
    assert exchange(running, frame(TEXT, message()) + GOODBYE) == [TAKEN, BYE]
    reasons = {e["payload"]["reason"] for e in running.events("telemetry.connection_closed")}
    assert reasons <= {"client_disconnect", "protocol_error"}
    assert not [line for line in running.lines() if line.get("level") in {"error", "critical"}]
