"""Tells what would stay open for hours that the service is about to stop.

A server closes its WebSockets when it is asked to stop, but it waits for HTTP responses, and it
tells the application of its end only after that. So the signal itself has to be heard.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What asks a server to stop."""


class ShutdownSignal:
    """Whether the service is about to stop; what waits for that is told at once."""

    def __init__(self) -> None:
        self._begun = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def begun(self) -> bool:
        """Whether the service is about to stop."""
        return self._begun

    @property
    def waiting(self) -> int:
        """How many wait to be told."""
        return len(self._waiting)

    def begin(self) -> None:
        """Notify everybody who waits, now and from now on. Call it in the event loop."""
        self._begun = True
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def reset(self) -> None:
        """Take it back: the service starts again."""
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


@contextmanager
def on_signals(callback: Callable[[], None]) -> Iterator[None]:
    """Call back in the running event loop when a signal asks the server to stop.

    The server's own handler runs as before. Where the signals are nobody's, or this is not the
    main thread, there is nothing to hear and nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    restore = [_chain(number, callback) for number in SIGNALS]
    try:
        yield
    finally:
        for restore_handler in restore:
            restore_handler()


def _chain(number: signal.Signals, callback: Callable[[], None]) -> Callable[[], None]:
    previous = signal.getsignal(number)
    if not callable(previous):
        return lambda: None
    loop = asyncio.get_running_loop()

    def handle(received: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback)
        previous(received, frame)

    def restore() -> None:
        # Whoever has put a handler on top of ours still needs it.
        if signal.getsignal(number) is handle:
            signal.signal(number, previous)

    signal.signal(number, handle)
    return restore
