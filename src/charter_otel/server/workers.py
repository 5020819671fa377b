"""Several workers on one port: processes that are instances of one service, and their supervisor.

Each opens a listening socket of its own (SO_REUSEPORT), and the kernel spreads connections among
them. The instances share their state in Redis, so that the code for robots, missions and metrics
need not know of workers.
"""

import asyncio
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import FrameType

import structlog

from charter_otel.aio import Backoff
from charter_otel.failures import CommandFailure

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end all workers."""
STOP_WITHIN = 30.0
"""Seconds in which a worker must have ended, before it is killed."""
SETTLED = 60.0
"""Seconds after which the end of a worker no longer counts as a failed start."""

log = structlog.get_logger(__name__)

Work = Callable[[int, Connection], None]
"""A worker's task: it gets its number, and reports through the pipe that it serves."""


class Worker:
    """One worker's process, and the next one in its place."""

    def __init__(self, number: int, work: Work) -> None:
        self.number = number
        self.serves = False
        self.due = 0.0
        """Time of the monotonic clock from which the next process may start."""
        self._work = work
        self._backoff = Backoff(first=0.5, limit=30.0)
        self._started = 0.0
        self.process: ForkProcess | None = None
        self.report: Connection | None = None

    def start(self) -> None:
        """Start a process."""
        context = multiprocessing.get_context("fork")
        self.report, says = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_begin,
            args=(self._work, self.number, says),
            name=f"charter-worker-{self.number}",
        )
        self._started = time.monotonic()
        # Until the new process has let go of this one's handlers, a signal waits.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        says.close()

    def ended(self) -> int | None:
        """Return the exit code of a process that has ended, and forget it."""
        process = self.process
        if process is None or process.exitcode is None:
            return None
        self._hang_up()
        self.process = None
        if time.monotonic() - self._started > SETTLED:
            self._backoff.reset()
        self.due = time.monotonic() + self._backoff.next()
        return process.exitcode

    def read_report(self) -> None:
        """Record that the worker serves, once it reports so."""
        if self.report is not None and self.report.poll():
            self.serves = True
            self._hang_up()

    def _hang_up(self) -> None:
        if self.report is not None:
            self.report.close()
            self.report = None


class Supervisor:
    """Starts the workers, puts a new one in the place of one that dies, and ends them all."""

    def __init__(self, count: int, work: Work) -> None:
        self._workers = [Worker(number, work) for number in range(1, count + 1)]
        self._stopping = False

    def run(self) -> None:
        """Watch the workers until a signal ends them.

        Raises:
            CommandFailure: A worker ended before it had ever served.
        """
        with _on_signals(self._stop) as woken:
            for worker in self._workers:
                worker.start()
            try:
                while not self._stopping:
                    self._look_after(woken)
            finally:
                self._end_all()

    def _stop(self) -> None:
        self._stopping = True

    def _look_after(self, woken: socket.socket) -> None:
        for worker in self._workers:
            worker.read_report()
            code = worker.ended()
            if code is not None and not self._stopping:
                if not worker.serves:
                    raise CommandFailure(
                        f"worker {worker.number} ended with {code} before it served; "
                        "the log lines above say why, fix that and start again"
                    )
                log.error("worker died", worker=worker.number, exit_code=code)
            if worker.process is None and worker.due <= time.monotonic() and not self._stopping:
                worker.start()
                log.info("worker started", worker=worker.number)
        self._wait(woken)

    def _wait(self, woken: socket.socket) -> None:
        """Wait for a signal, a report, the end of a process, or the next start."""
        waiting = [worker.due for worker in self._workers if worker.process is None]
        until = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        processes = [w.process.sentinel for w in self._workers if w.process is not None]
        pipes = [worker.report for worker in self._workers if worker.report is not None]
        wait([woken, *processes, *pipes], until)

    def _end_all(self) -> None:
        """End the workers, and kill those that do not end in time."""
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        until = time.monotonic() + STOP_WITHIN
        for process in running:
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                log.error("worker does not end and is killed", worker=process.name)
                process.kill()
                process.join()


def _begin(work: Work, number: int, says: Connection) -> None:
    """Run a worker's process; only the supervisor handles a closed terminal."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    work(number, says)


def stop_with_parent(loop: asyncio.AbstractEventLoop) -> None:
    """End this process as SIGTERM does if its supervisor is gone, as nothing else would end it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def stop() -> None:
        loop.remove_reader(sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(sentinel, stop)


@contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[socket.socket]:
    """Call back at a signal that ends all, and yield a socket that then becomes readable."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        stop()
        wake.send(b"\0")

    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handle) for number in STOPPING} if in_main else {}
    try:
        yield woken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        woken.close()
        wake.close()
