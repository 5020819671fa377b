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


async def end(task: asyncio.Task[None], until: float, *, grace: float = 0.1) -> None:
    """Let a task run until ``until`` (monotonic seconds), then cancel it.

    A task that ignores its cancellation for twice ``grace`` seconds is left behind and logged.
    """
    await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
    # Twice: asyncio.wait_for, which redis-py sends with, may swallow one in Python 3.11, see
    # https://github.com/python/cpython/issues/86296
    for _ in range(2):
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=grace)
    if not task.done():
        log.error("task ignores its cancellation", task=task.get_name())


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
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def describe(error: BaseException) -> str:
    """Return an error as one bounded line of encodable text."""
    text = f"{type(error).__name__}: {error}"[:500]
    return text.encode("utf-8", "replace").decode()


def share(until: float, part: float) -> float:
    """Return the monotonic time at which ``part`` (0 to 1) of the time until ``until`` is over."""
    now = time.monotonic()
    return now + max(0.0, until - now) * part
