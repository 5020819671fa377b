"""Writing lines to stdout without blocking: at once if it is ready, through a queue if not."""

import fcntl
import os
import select
import tempfile
import threading
from collections import deque

PIPE_BUF = select.PIPE_BUF
"""Bytes that a pipe takes without waiting once it says that it is ready (POSIX: at least 512)."""


class LineWriter:
    """Writes whole lines to a file descriptor without ever blocking the caller.

    A reader that stalls would otherwise stall the event loop. Lines that the descriptor does not
    take wait in a bounded queue, which a thread empties. When the queue is full, the oldest line
    is dropped and counted.

    Args:
        descriptor: Where the lines go; stdout, unless given.
        capacity: How many lines may wait.
        shared: Whether processes forked from this one write to the same descriptor. A pipe takes
            only lines of up to `PIPE_BUF` bytes whole; so one process writes at a time.
    """

    def __init__(
        self, descriptor: int = 1, capacity: int = 10_000, *, shared: bool = False
    ) -> None:
        self._descriptor = descriptor
        # The kernel releases such a lock when its process dies.
        self._turns = tempfile.TemporaryFile() if shared else None  # noqa: SIM115 - held for good
        self._capacity = capacity
        self._waiting: deque[bytes] = deque()
        # Reentrant: a finalizer that logs may run while its thread holds the lock.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._draining = False
        # Linux has writes that never wait; on other systems the descriptor is polled first.
        self._nowait: int = getattr(os, "RWF_NOWAIT", 0)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.dropped = 0

    @property
    def on_terminal(self) -> bool:
        """Whether a person reads the lines as they come."""
        return os.isatty(self._descriptor)

    def write(self, line: bytes) -> None:
        """Write the line, which ends with a newline, now or soon."""
        with self._lock:
            if self._draining or not self._begin(wait=False):
                self._enqueue(line)
                return
            rest = self._write_now(line)
            if rest:
                # The turn ends when the thread has written the rest.
                self._enqueue(rest)
            else:
                self._end()

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until the queue is empty, for ``timeout`` seconds at most.

        Returns:
            Whether all lines were written.
        """
        thread = self._thread
        if thread:
            thread.join(timeout)
        return not self._draining

    def after_fork(self) -> None:
        """Start with an empty queue: what waits is the parent's to write, as is its thread."""
        self._lock = threading.RLock()
        self._waiting.clear()
        self._thread, self._draining = None, False

    def _begin(self, *, wait: bool) -> bool:
        """Begin this process's turn, and return whether it has begun."""
        if self._turns is None:
            return True
        try:
            fcntl.lockf(self._turns, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _end(self) -> None:
        if self._turns is not None:
            fcntl.lockf(self._turns, fcntl.LOCK_UN)

    def _enqueue(self, line: bytes) -> None:
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(line)
        if not self._draining:
            self._draining = True
            self._thread = threading.Thread(target=self._drain, name="charter-lines", daemon=True)
            self._thread.start()

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._draining = False
                    return
                line = self._waiting.popleft()
            self._begin(wait=True)
            self._write(line, wait=True)
            self._end()

    def _write_now(self, line: bytes) -> bytes:
        """Write as much as the descriptor takes without waiting, and return the rest."""
        if self._nowait:
            try:
                return line[os.pwritev(self._descriptor, (line,), -1, self._nowait) :]
            except BlockingIOError:
                return line
            except OSError:
                # A terminal, a file and an older kernel know no such writes.
                self._nowait = 0
        ready = len(line) <= PIPE_BUF and self._poll.poll(0)
        return self._write(line, wait=False) if ready else line

    def _write(self, line: bytes, *, wait: bool) -> bytes:
        """Write the line, and return the rest of it.

        A non-blocking descriptor refuses bytes when it is full: then wait, or return.
        """
        rest = memoryview(line)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:
                    if not wait:
                        return bytes(rest)
                    self._poll.poll()
        except OSError:
            # The reader is gone, and there is nowhere left to report it.
            self.dropped += 1
        return b""
