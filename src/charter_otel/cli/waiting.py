"""How a command waits: until a signal, for so long at most, for the first of several."""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two attempts, at first and at most."""

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a command to end."""


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """Give an event that is set by the first SIGINT or SIGTERM; the second one ends at once."""
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
    """Wait until ``stop`` is set, for ``seconds`` at most; tell whether it is."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def until_first(*work: Coroutine[Any, Any, Any], seconds: float | None = None) -> None:
    """Run coroutines until one of them ends or time is up, then end the others.

    Raises:
        Exception: What the one that ended raised.
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


class Pauses:
    """Random pauses between attempts, longer after each, so that clients do not come in step.

    Args:
        random: Where chance comes from.
    """

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()  # noqa: S311 - pauses, not secrets
        self._next = FIRST_PAUSE

    def next(self) -> float:
        """Give the seconds to pause."""
        pause = self._random.uniform(0.5, 1.0) * self._next
        self._next = min(self._next * 2, LONGEST_PAUSE)
        return pause

    def reset(self) -> None:
        """Begin again with the shortest pause: an attempt was successful."""
        self._next = FIRST_PAUSE
