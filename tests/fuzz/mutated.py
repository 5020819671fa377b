"""Mutated WebSocket frames for the service's parser: ``python -m fuzz.mutated COUNT``."""

import sys
import time
from collections import Counter
from random import Random

from charter_otel.server.frames import CLOSE, FrameError, FrameReader, LateFrames, decode_close
from server.test_frames import frame

MAX_SIZE = 1_000
_LONGEST_HEADER = 14
_KEPT = 64
"""Frames behind one another on a connection, at most."""

GOOD = [
    frame(0x81, b'{"type":"ping"}'),
    frame(0x82, b"\x00\xff" * 60),
    frame(0x81, "größer".encode() * 16),
    frame(0x81, b"x" * 200),
    frame(0x01, b'{"type":'),
    frame(0x00, "\u20ac".encode()[:2]),
    frame(0x80, b'"ping"}'),
    frame(0x89, b"well?"),
    frame(0x8A, b""),
    frame(0x88, b"\x03\xe8bye"),
    # The longest form of a length, for a short payload.
    b"\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05abcd" + b"\x00" * 5,
]
"""Whole frames as a client sends them."""


def mutated(random: Random) -> bytes:
    """Return a frame with some bits changed, mostly in its header, and perhaps cut."""
    data = bytearray(random.choice(GOOD))
    for _ in range(random.randrange(3)):
        place = int(random.random() ** 2 * len(data))
        data[place] ^= 1 << random.randrange(8)
    if random.random() < 0.05:
        del data[random.randrange(len(data)) :]
    return bytes(data)


class Connection:
    """A parser that is held to what its callers rely on.

    Args:
        found: Counts messages, control frames and close codes.
    """

    def __init__(self, found: Counter[str]) -> None:
        self._found = found
        self._late = LateFrames()
        self._reader = FrameReader(
            MAX_SIZE, self._take, self._control, lambda: found.update(["fragment"])
        )

    def _take(self, message: str | bytes) -> None:
        size = len(message.encode() if isinstance(message, str) else message)
        assert size <= MAX_SIZE
        self._found["message"] += 1

    def _control(self, opcode: int, payload: bytes) -> None:
        assert len(payload) <= 125
        self._found["control"] += 1
        if opcode == CLOSE:
            decode_close(payload)
            self._reader.stopped = True

    def feed(self, data: bytes) -> bool:
        """Read bytes, and return whether the connection goes on."""
        self._late.has_close(data)
        try:
            self._reader.feed(data)
        except FrameError as error:
            assert error.code in {1002, 1007, 1009}
            self._found[str(error.code)] += 1
            return False
        assert len(self._reader.rest) <= MAX_SIZE + _LONGEST_HEADER
        return not self._reader.stopped


def read(count: int, seed: int) -> Counter[str]:
    """Read so many mutated frames, each cut in two, and count the results.

    Raises:
        AssertionError: The parser broke a promise.
    """
    random, found = Random(seed), Counter[str]()  # noqa: S311 - to be repeated
    connection, length = Connection(found), 0
    for _ in range(count):
        data = mutated(random)
        cut = random.randrange(len(data) + 1)
        length += 1
        going_on = connection.feed(data[:cut]) and connection.feed(data[cut:])
        if not going_on or length == _KEPT:
            connection, length = Connection(found), 0
    return found


if __name__ == "__main__":
    number, begun = int(sys.argv[1]), time.monotonic()
    seed = time.time_ns()
    print(f"fuzz: frames are mutated with the seed {seed}")
    counts = read(number, seed)
    shown = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    print(f"fuzz: {number:,} mutated frames in {time.monotonic() - begun:.0f} s: {shown}")
