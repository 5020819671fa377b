"""Tasks and time: start, end and wait for tasks, back off, stop on a signal."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import structlog

from charter_otel.seams import empty_context

log = structlog.get_logger(__name__)


FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Shortest and longest delay between a client's connection attempts, in seconds."""

_CANCELLATIONS, _GRACE = 5, 0.1
"""Cancellations of a task, and seconds that it has for its end after each."""

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a command to end."""


class Backoff:
    """Exponential back-off with jitter, so that clients do not retry in step.

    Args:
        first: Seconds of the first delay, before jitter.
        limit: The longest delay, in seconds.
        random: The source of the jitter; a test passes one with a seed.
    """

    def __init__(
        self, first: float = 0.05, limit: float = 2.0, random: Random | None = None
    ) -> None:
        self._first = first
        self._limit = limit
        self._next = first
        self._random = random or Random()  # noqa: S311 - jitter is not a secret

    def next(self) -> float:
        """Return the next delay in seconds: between half of the current ceiling and all of it."""
        ceiling = self._next
        self._next = min(self._limit, ceiling * 2)
        return ceiling * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start over with the shortest delay."""
        self._next = self._first


class Allowance:
    """A token bucket that holds at most one second's tokens.

    Args:
        per_second: Tokens that are added in a second.
        clock: Returns seconds of a monotonic clock.
    """

    __slots__ = ("_at", "_clock", "_left", "_per_second")

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = self._left = float(per_second)
        self._clock = clock
        self._at = clock()

    def spend(self) -> bool:
        """Take one token; return False if none is left."""
        now = self._clock()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start a task of the current app; no caller's span or log context leaks into it."""
    task = asyncio.create_task(coroutine, name=name, context=empty_context())
    task.add_done_callback(_report)
    return task


async def end(task: asyncio.Task[None], until: float) -> None:
    """Let a task run until ``until`` (monotonic seconds), then cancel it."""
    await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
    await cancel(task)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait for their end, whatever it is.

    One that ignores that for half a second is left behind and logged.
    """
    # Again and again: asyncio.wait_for, which redis-py sends with, may swallow a cancellation in
    # Python 3.11. See https://github.com/python/cpython/issues/86296
    for _ in range(_CANCELLATIONS):
        if running := [task for task in tasks if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=_GRACE)
    for task in tasks:
        if not task.done():
            log.error("task ignores its cancellation", task=task.get_name())
        elif not task.cancelled():
            task.exception()  # Otherwise asyncio reports it as never retrieved.


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task died", task=task.get_name(), exc_info=error)


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """Yield an event that is set by the first SIGINT or SIGTERM; the second one ends at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def release() -> None:
        for number in STOPPING:
            loop.remove_signal_handler(number)

    def ask() -> None:
        stop.set()
        release()

    for number in STOPPING:
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        release()


async def wait_for(stop: asyncio.Event, seconds: float) -> bool:
    """Wait until ``stop`` is set, for ``seconds`` at most; return whether it is."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def until_first(*work: Coroutine[Any, Any, Any], seconds: float | None = None) -> None:
    """Run coroutines until one of them ends or time is up, then end the others.

    Raises:
        Exception: The error of the coroutine that ended.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel(*tasks)


def describe(error: BaseException) -> str:
    """Return an error as one bounded line of encodable text."""
    text = f"{type(error).__name__}: {error}"[:500]
    return text.encode("utf-8", "replace").decode()


def share(until: float, part: float) -> float:
    """Return the monotonic time at which ``part`` (0 to 1) of the time until ``until`` is over."""
    now = time.monotonic()
    return now + max(0.0, until - now) * part
