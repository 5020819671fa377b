"""Notifies long-lived responses that the service is about to stop.

A server that is asked to stop closes its WebSockets, but waits for HTTP responses. It notifies the
application of its end only after that. So the service handles the signal itself.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from charter_otel.aio import spawn

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Signals that ask a server to stop."""


class ShutdownSignal:
    """The fact that the service is about to stop; waiting tasks are notified at once."""

    def __init__(self) -> None:
        self._begun = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def begun(self) -> bool:
        """Whether the service is about to stop."""
        return self._begun

    @property
    def waiting(self) -> int:
        """Return the number of waiting tasks."""
        return len(self._waiting)

    def begin(self) -> None:
        """Notify all waiting tasks, present and future. Call it in the event loop."""
        self._begun = True
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def reset(self) -> None:
        """Reset the signal: the service starts again."""
        self._begun = False

    async def wait(self) -> None:
        """Wait until the service is about to stop."""
        if self._begun:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


async def nothing() -> None:
    """Wait for nothing."""


@contextmanager
def on_signals(
    callback: Callable[[], None], finish: Callable[[], Awaitable[None]] = nothing
) -> Iterator[None]:
    """Call back in the running event loop when a signal asks the server to stop.

    The server's own handler runs once ``finish`` is done, or at the next signal. If the signals
    have no handler in Python, or this is not the main thread, nothing is installed.

    Args:
        callback: Called at once.
        finish: Awaited before the server's own handler runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopping = _Stopping(callback, finish)
    restore = [stopping.install(number) for number in SIGNALS]
    try:
        yield
    finally:
        stopping.end()
        for restore_handler in restore:
            restore_handler()


class _Stopping:
    """The steps between a signal and the server's own handler for it."""

    def __init__(self, callback: Callable[[], None], finish: Callable[[], Awaitable[None]]) -> None:
        self._callback = callback
        self._finish = finish
        self._loop = asyncio.get_running_loop()
        self._signalled = False
        self._stop: Callable[[], object] | None = None
        """Runs the server's own handler; None before a signal and after the run."""
        self._task: asyncio.Task[None] | None = None

    def install(self, number: signal.Signals) -> Callable[[], None]:
        """Install a handler over the present one, and return a function that restores that."""
        previous = signal.getsignal(number)
        if not callable(previous):
            return lambda: None

        def handle(received: int, frame: FrameType | None) -> None:
            again, self._signalled = self._signalled, True
            if again or self._loop.is_closed():
                previous(received, frame)
            else:
                self._loop.call_soon_threadsafe(self._begin, lambda: previous(received, frame))

        def restore() -> None:
            # A handler that was installed over ours still needs it.
            if signal.getsignal(number) is handle:
                signal.signal(number, previous)

        signal.signal(number, handle)
        return restore

    def end(self) -> None:
        """Cancel ``finish``: the server stops."""
        if self._task is not None:
            self._task.cancel()
        self._hand_on()

    def _begin(self, stop: Callable[[], object]) -> None:
        self._callback()
        self._stop = stop
        self._task = spawn(self._run(), "charter-release")

    async def _run(self) -> None:
        try:
            await self._finish()
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
