"""Foreign streams: any object with the specification's ``publish``, called within bounds."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any, Protocol

from charter_otel.charter import Event

TIMEOUT = 0.25
"""Timeout of a ``publish``, in seconds."""

UNDER_WAY = 1_000
"""Maximum number of publishes under way, including those that outlive their timeout."""


class ForeignStream(Protocol):
    """Any object with the specification's ``publish``."""

    def publish(self, event: Event) -> Awaitable[Any] | None:
        """Publish the event."""


async def publish(stream: ForeignStream, event: Event) -> None:
    """Publish within the timeout; a publish that resists its cancellation is left behind.

    Raises:
        TimeoutError: It took too long, or too many earlier ones have not ended.
        Exception: What the stream raised.
    """
    if len(_under_way) >= UNDER_WAY:
        raise TimeoutError(f"{len(_under_way)} earlier publishes have not ended")
    task = asyncio.create_task(_published(stream, event), name="charter-foreign-publish")
    _under_way.add(task)
    task.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait({task}, timeout=TIMEOUT)
    finally:
        task.cancel()
    if not done:
        raise TimeoutError(f"publish() took longer than {TIMEOUT} s")
    if task.cancelled():
        raise RuntimeError("publish() cancelled itself")
    task.result()


async def _published(stream: ForeignStream, event: Event) -> None:
    result = stream.publish(event)
    if inspect.isawaitable(result):
        await result


def _forget(task: asyncio.Task[None]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not report it a second time


_under_way: set[asyncio.Task[None]] = set()
"""Publishes under way; asyncio itself keeps only weak references to tasks."""
