"""Lines on stdout: whole, in order, and never at the cost of the one who writes them."""

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest

from charter_otel.otel.lines.writer import PIPE_BUF, LineWriter
from support.polling import wait_until


class Pipe:
    """A pipe of two pages, with a reader that reads when it is told to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 2 * PIPE_BUF)
        self.received = b""

    def read_until(self, end: bytes) -> list[bytes]:
        """Read until the text ends so, and give the lines."""
        while not self.received.endswith(end):
            self.received += os.read(self.reader, 65_536)
        return self.received.splitlines(keepends=True)


@pytest.fixture(params=["kernel knows", "ask first"])
def pipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Yield a pipe, on a kernel with or without writes that do not wait."""
    if request.param == "ask first":
        monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    pipe = Pipe()
    yield pipe
    for descriptor in (pipe.reader, pipe.writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_line_is_there_at_once(pipe: Pipe) -> None:
    """A reader that keeps up has each line when `write` returns; no thread is started."""
    before = threading.active_count()
    writer = LineWriter(pipe.writer)
    writer.write(b"one\n")
    writer.write(b"two\n")
    assert os.read(pipe.reader, 100) == b"one\ntwo\n"
    assert threading.active_count() == before


def test_reader_that_stalls_costs_nothing(pipe: Pipe) -> None:
    """Writing goes on at full speed while nobody reads, and all lines arrive in order."""
    writer = LineWriter(pipe.writer)
    lines = [f"line {number:05d}\n".encode() for number in range(5_000)]
    started = time.perf_counter()
    for line in lines:
        writer.write(line)
    assert time.perf_counter() - started < 10
    assert not writer.flush(0.01)
    assert pipe.read_until(lines[-1]) == lines
    assert writer.flush()
    assert writer.dropped == 0


def test_lines_of_all_sizes_keep_their_order(pipe: Pipe) -> None:
    """Lines longer than the pipe takes at once stay whole, between short ones."""
    writer = LineWriter(pipe.writer)
    lines = [bytes([97 + n]) * size + b"\n" for n, size in enumerate([1, 100_000, 2, 5_000, 3])]
    for line in lines:
        writer.write(line)
    assert pipe.read_until(lines[-1]) == lines


def test_oldest_lines_go_and_are_counted(pipe: Pipe) -> None:
    """When the queue is full the oldest lines go, and every one of them is counted."""
    writer = LineWriter(pipe.writer, capacity=100)
    lines = [f"line {number:05d}\n".encode() for number in range(3_000)]
    for line in lines:
        writer.write(line)
    received = pipe.read_until(lines[-1])
    assert writer.dropped == len(lines) - len(received) > 0
    assert received == sorted(received)
    assert received[-100:] == lines[-100:]
    assert set(received) <= set(lines)


def test_descriptor_that_does_not_block(pipe: Pipe) -> None:
    """A descriptor that somebody made non-blocking loses nothing, and no line is torn."""
    os.set_blocking(pipe.writer, False)
    writer = LineWriter(pipe.writer)
    lines = [(f"{number:04d}" * 50).encode() + b"\n" for number in range(500)]
    lines[100:100] = [b"x" * 50_000 + b"\n"]
    for line in lines:
        writer.write(line)
    assert pipe.read_until(lines[-1]) == lines
    assert writer.dropped == 0


def test_descriptor_that_takes_a_part(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of a line that a descriptor did not take follows before any other line."""
    write = os.write
    answers = iter([3, None, 4, None])

    def reluctant(descriptor: int, data: bytes) -> int:
        answer = next(answers, len(data))
        if answer is None:
            raise BlockingIOError
        return write(descriptor, data[:answer])

    monkeypatch.setattr(os, "write", reluctant)
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, *_: reluctant(fd, buffers[0]))
    writer = LineWriter(pipe.writer)
    writer.write(b"one line\n")
    writer.write(b"two\n")
    assert pipe.read_until(b"two\n") == [b"one line\n", b"two\n"]


def test_closed_pipe(pipe: Pipe) -> None:
    """When the reader is gone, lines are counted as dropped and nothing raises."""
    os.close(pipe.reader)
    writer = LineWriter(pipe.writer)
    writer.write(b"short\n")
    writer.write(b"x" * 10_000 + b"\n")
    assert writer.flush()
    assert writer.dropped == 2


def test_several_threads(pipe: Pipe) -> None:
    """Lines of several threads do not mix, and each thread's are in order."""
    writer = LineWriter(pipe.writer)

    def write(name: str) -> None:
        for number in range(500):
            writer.write(f"{name} {number:04d} {'x' * 50}\n".encode())

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    received: list[bytes] = []
    while len(received) < 2_000:
        pipe.received += os.read(pipe.reader, 65_536)
        received = pipe.received.splitlines()
    for thread in threads:
        thread.join()
    assert {len(line) for line in received} == {57}
    for name in "abcd":
        own = [line for line in received if line.startswith(name.encode())]
        assert own == sorted(own)
        assert len(own) == 500


def test_finalizer_that_logs_inside_of_write(pipe: Pipe) -> None:
    """A line that is written while its own thread writes another one does not lock up."""
    writer = LineWriter(pipe.writer)
    with writer._lock:
        writer.write(b"inner\n")
    assert os.read(pipe.reader, 100) == b"inner\n"


def test_flush_waits_for_the_reader(pipe: Pipe) -> None:
    """Flushing returns once the last line is written."""
    writer = LineWriter(pipe.writer)
    writer.write(b"x" * 50_000 + b"\n")
    reader = threading.Thread(target=pipe.read_until, args=(b"\n",))
    reader.start()
    assert writer.flush(10)
    reader.join()
    assert len(pipe.received) == 50_001
    wait_until(lambda: writer._thread is None or not writer._thread.is_alive(), "thread is gone")


def test_descriptor_that_knows_no_such_writes() -> None:
    """A file, which may refuse a write that must not wait, gets its lines all the same."""
    with tempfile.TemporaryFile() as file:
        writer = LineWriter(file.fileno())
        writer.write(b"one\n")
        writer.write(b"two\n")
        assert writer.flush()
        file.seek(0)
        assert file.read() == b"one\ntwo\n"


def test_terminal() -> None:
    """So does a terminal."""
    reader, terminal = os.openpty()
    try:
        writer = LineWriter(terminal)
        writer.write(b"one\n")
        writer.write(b"two\n")
        received = b""
        while not received.endswith(b"two\r\n"):  # the kernel hands lines over one by one
            received += os.read(reader, 100)
        assert received == b"one\r\ntwo\r\n"
    finally:
        os.close(reader)
        os.close(terminal)
