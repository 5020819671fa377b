"""A response that follows the event stream, as Server-Sent Events (WHATWG HTML, §9.2)."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Container, Coroutine
from contextlib import aclosing
from typing import Any, cast

import structlog
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from charter_otel.aio import cancel
from charter_otel.charter import Event, encode
from charter_otel.service.shutdown import ShutdownSignal
from charter_otel.streams import EventStream, StreamUnavailable

MEDIA_TYPE = "text/event-stream"
"""Media type of Server-Sent Events."""

HEARTBEAT = 15.0
"""Seconds between two comments, which keep proxies from closing a silent connection."""

RETRY_DELAY = 1.0
"""Seconds until a stream that cannot be read is tried again, and until a client comes back."""

log = structlog.get_logger(__name__)


class FollowResponse(ASGIResponse):
    """Sends events as they come, until one of its end conditions holds.

    These are: the client disconnects, its token expires, the service stops, the stream ends.

    Events are read from the stream one by one, each when the client has taken the one before: a
    slow client holds a position in the stream, but no memory.

    Args:
        stream: The event stream. From now on nothing is missed.
        stopping: Ends the response when the service is about to stop.
        after: Id of the event after which to begin; from now on, unless given.
        types: Event types; empty for all.
        heartbeat: Seconds between two comments.
        lasting: Seconds after which the response ends in any case, as the token has expired.
        is_head: Whether the response is only a head, and ends with it.

    Raises:
        ValueError: ``after`` is not an event id.
    """

    def __init__(
        self,
        stream: EventStream,
        stopping: ShutdownSignal,
        *,
        after: str | None = None,
        types: Container[str] = frozenset(),
        heartbeat: float = HEARTBEAT,
        lasting: float | None = None,
        is_head: bool = False,
    ) -> None:
        super().__init__(
            media_type=MEDIA_TYPE,
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
            is_head_response=is_head,
        )
        self.headers.setdefault("content-type", f"{MEDIA_TYPE}; charset={self.encoding}")
        self.headers.pop("content-length", None)
        self.on_end: Callable[[FollowResponse], object] = lambda _: None
        """Called with the response when the last event has been sent."""
        self._stream = stream
        self._stopping = stopping
        self._heartbeat = heartbeat
        self._lasting = lasting
        self._last = after
        self._types = types
        self._events = self._follow()

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send events and heartbeats until an end condition holds."""
        tasks = [
            _task(self._deliver(send), "events"),
            _task(self._send_heartbeats(send), "heartbeats"),
            _task(_disconnected(receive), "client"),
            _task(self._stopping.wait(), "stopping"),
        ]
        if self._lasting is not None:
            tasks.append(_task(asyncio.sleep(self._lasting), "expiry"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.on_end(self)
            await cancel(*tasks)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _deliver(self, send: Send) -> None:
        await _send(send, f"retry: {RETRY_DELAY * 1000:.0f}\n\n".encode())
        while True:
            try:
                async with aclosing(self._events) as events:
                    async for event in events:
                        await _send(send, frame(event))
                        self._last = event.id
            except StreamUnavailable as error:
                log.debug("event stream cannot be followed; trying again", error=str(error))
                await asyncio.sleep(RETRY_DELAY)
                self._events = self._follow()
            else:
                return

    async def _send_heartbeats(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            await _send(send, b": heartbeat\n\n")

    def _follow(self) -> AsyncGenerator[Event, None]:
        events = self._stream.follow(after=self._last, types=self._types)
        return cast("AsyncGenerator[Event, None]", events)


def frame(event: Event) -> bytes:
    """Return the event as one server-sent event: its id, its type, and the envelope as data."""
    head = f"id: {event.id}\nevent: {event.type}\ndata: ".encode()
    return b"%b%b\n\n" % (head, encode(event))


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _task(work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
    return asyncio.create_task(work, name=f"charter sse {name}")
