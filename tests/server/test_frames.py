"""Frames are read as websockets' own parser reads them, in whatever pieces they come."""

import os
import struct
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from charter_otel.server.frames import (
    CLOSE,
    Close,
    FrameError,
    FrameReader,
    LateFrames,
    decode_close,
    encode,
    encode_close,
)

MAX_SIZE = 1_000


class Verdict(NamedTuple):
    """A parser's reading of bytes: messages, control frames and the code of the failure."""

    read: list[tuple[str, object]]
    code: int | None


def ours(data: bytes, cuts: list[int]) -> Verdict:
    """Read the bytes in pieces with our reader."""
    read: list[tuple[str, object]] = []

    def control(opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            read.append(("close", tuple(decode_close(payload))))
            reader.stopped = True
        else:
            read.append((Opcode(opcode).name, payload))

    reader = FrameReader(
        MAX_SIZE, lambda data: read.append(("message", data)), control, lambda: None
    )
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    try:
        for begin, end in pairwise(edges):
            if not reader.stopped:
                reader.feed(data[begin:end])
    except FrameError as error:
        return Verdict(read, error.code)
    return Verdict(read, None)


def theirs(data: bytes) -> Verdict:
    """Read the bytes with websockets' parser, and put its fragments together.

    Its own limit counts a control frame between two fragments among the message's bytes.
    """
    protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=None)
    protocol.receive_data(data)
    read: list[tuple[str, object]] = []
    parts: list[bytes] = []
    text = False
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in {Opcode.PING, Opcode.PONG}:
            read.append((frame.opcode.name, bytes(frame.data)))
        elif frame.opcode is Opcode.CLOSE:
            close = protocol.close_rcvd
            assert close is not None
            read.append(("close", (close.code, close.reason)))
            return Verdict(read, None)
        else:
            text = text if frame.opcode is Opcode.CONT else frame.opcode is Opcode.TEXT
            parts.append(bytes(frame.data))
            if sum(map(len, parts)) > MAX_SIZE:
                return Verdict(read, 1009)
            if frame.fin:
                whole, parts = b"".join(parts), []
                try:
                    read.append(("message", whole.decode() if text else whole))
                except UnicodeDecodeError:
                    return Verdict(read, 1007)
    failed = protocol.parser_exc is not None
    if str(protocol.parser_exc) == "incomplete fragmented message" and protocol.close_rcvd:
        # Section 5.4 of RFC 6455 allows a close between fragments; websockets does not.
        close = protocol.close_rcvd
        return Verdict([*read, ("close", (close.code, close.reason))], None)
    return Verdict(read, protocol.close_sent.code if failed and protocol.close_sent else None)


def frame(first: int, payload: bytes, *, mask: bytes | None = b"abcd") -> bytes:
    """Return a frame as a client sends it; without a mask, one as it must not."""
    length, bit = len(payload), 0x80 if mask else 0
    if length < 126:
        header = struct.pack("!BB", first, bit | length)
    elif length < 65_536:
        header = struct.pack("!BBH", first, bit | 126, length)
    else:
        header = struct.pack("!BBQ", first, bit | 127, length)
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload)) if mask else payload
    return header + (mask or b"") + masked


PAYLOADS = st.one_of(
    st.text(max_size=200).map(str.encode),
    st.binary(max_size=200),
    st.sampled_from([b"", b"x" * 125, b"x" * 126, b"x" * MAX_SIZE, b"x" * (MAX_SIZE + 1)]),
    st.integers(0, 5_000).map(lambda code: struct.pack("!H", code) + "größer".encode()),
)
FIRST = st.sampled_from([0x81, 0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x88, 0x89, 0x8A, 0x83, 0xC1, 8])
FRAMES = st.builds(frame, FIRST, PAYLOADS, mask=st.sampled_from([b"abcd", b"\0\0\0\0", None]))


@example([frame(1, b""), frame(0x88, b"")], [])
@example([frame(1, b"x" * MAX_SIZE), frame(0x89, b"a"), frame(0x80, b"")], [])
@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 10_000), max_size=6))
def test_frames_are_read_as_websockets_reads_them(frames: list[bytes], cuts: list[int]) -> None:
    """The same messages, the same control frames, and the same code where one is wrong.

    Invalid UTF-8 in fragmented text is found in the fragment that shows it. That may come before
    another fault in a later fragment.
    """
    data = b"".join(frames)
    found, expected = ours(data, cuts), theirs(data)
    if found.code == 1007 != expected.code:
        assert expected.read[: len(found.read)] == found.read
    elif {found.code, expected.code} == {1002, 1009}:
        # A control frame that is longer than any message: both are right.
        assert found.read == expected.read
    else:
        assert found == expected


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_any_bytes_are_read_or_refused(data: bytes, cuts: list[int]) -> None:
    """Bytes that are not a frame raise a `FrameError` and nothing else."""
    assert ours(data, cuts).code in {None, 1002, 1007, 1009}


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_frames_of_the_server_can_be_read(length: int) -> None:
    """Each form of the length is a client's to read."""
    client = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
    client.receive_data(encode(b"x" * length))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert bytes(frame.data) == b"x" * length


@pytest.mark.parametrize(
    ("reason", "received"),
    [("", ""), ("superseded", "superseded"), ("x" * 200, "x" * 123), ("€" * 60, "€" * 41)],
)
def test_a_long_reason_is_cut_between_characters(reason: str, received: str) -> None:
    """A close frame holds 125 bytes, and its reason stays UTF-8."""
    client = Protocol(Side.CLIENT, state=State.OPEN)
    client.receive_data(encode_close(4409, reason))
    assert client.close_rcvd is not None
    assert client.close_rcvd.reason == received


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2_999, 5_000, 65_535])
def test_codes_that_nobody_may_send_are_refused(code: int) -> None:
    """RFC 6455, section 7.4: reserved codes stay off the wire."""
    with pytest.raises(FrameError):
        decode_close(struct.pack("!H", code))


def test_a_close_without_a_code_is_no_mistake() -> None:
    """Section 7.1.5: it counts as 1005."""
    assert decode_close(b"") == Close(1005, "")


@given(
    st.lists(st.binary(max_size=300), max_size=5),
    st.lists(st.integers(0, 2_000), max_size=6),
    st.booleans(),
)
def test_the_close_behind_what_was_under_way_is_found(
    payloads: list[bytes], cuts: list[int], closed: bool
) -> None:
    """It is found in whatever pieces it comes, and only if there is one."""
    data = b"".join(frame(0x82, payload, mask=os.urandom(4)) for payload in payloads)
    data += frame(0x88, b"") if closed else b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    late = LateFrames()
    found = [late.has_close(data[a:b]) for a, b in pairwise(edges)]
    assert any(found) is closed


@pytest.mark.parametrize(("pings", "found"), [(9_999, True), (10_000, False)])
def test_a_flood_is_not_looked_through_for_the_close(pings: int, found: bool) -> None:
    """Ten thousand frames are more than a socket's buffers hold of a robot that behaves."""
    ping, close = frame(0x89, b"", mask=b"mask"), frame(0x88, b"", mask=b"mask")
    late = LateFrames(ping * 5_000)
    assert late.has_close(ping * (pings - 5_000) + close) is found
