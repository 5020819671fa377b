"""The tasks of a stream: named, in a clean context, kept running, and ended within a deadline."""

import asyncio
import contextvars
import random
import time
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Backoff:
    """Waiting times that grow from ``first`` to ``limit`` seconds, with jitter."""

    def __init__(self, first: float = 0.05, limit: float = 2.0) -> None:
        self._first = first
        self._limit = limit
        self._next = first

    def next(self) -> float:
        """Give the next waiting time, in seconds."""
        ceiling = self._next
        self._next = min(self._limit, ceiling * 2)
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    def reset(self) -> None:
        """Begin again with the shortest time."""
        self._next = self._first


def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start a task in an empty context, so that nobody's span or log context leaks into it."""
    task = asyncio.create_task(coroutine, name=name, context=contextvars.Context())
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
        log.error("task of the event stream died", task=task.get_name(), exc_info=error)
