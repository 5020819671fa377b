"""Calls from other threads, brought to the stream's own event loop."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class EventLoopBridge:
    """The event loop of a running stream.

    A synchronous route handler emits from a worker thread; a stream's queues and wake-ups belong
    to the event loop. `run` reconciles the two without a lock on the common path.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def bind(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def unbind(self) -> None:
        """Unbind the event loop: calls run in the thread that makes them."""
        self._loop = None

    def run(self, function: Callable[[T], bool], argument: T) -> bool:
        """Call at once in the loop's thread, and soon from any other thread.

        Returns:
            The function's result, or True if it has not been called yet.
        """
        loop = self._loop
        if loop is None or threading.get_ident() == self._thread or loop.is_closed():
            return function(argument)
        loop.call_soon_threadsafe(function, argument)
        return True

    def run_soon(self, function: Callable[[], None]) -> None:
        """Call in the loop's next turn in an empty context, or at once without a loop."""
        if self._loop is None or self._loop.is_closed():
            function()
        else:
            self._loop.call_soon(function, context=contextvars.Context())
