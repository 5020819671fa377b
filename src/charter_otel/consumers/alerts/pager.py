"""The delivery to PagerDuty: a thread sends pages one by one, for as long as it takes."""

import asyncio
import time
from collections.abc import Callable

import structlog

from charter_otel.aio import Backoff, describe, end, spawn
from charter_otel.consumers.alerts.page import Page
from charter_otel.consumers.alerts.page_queue import PageQueue
from charter_otel.otel import Instrumentation
from charter_otel.streams.spool.worker import DiskThread

PAUSE = 1.0
"""Seconds before the first retry; they double up to `LONGEST_PAUSE`."""
LONGEST_PAUSE = 30.0

Sender = Callable[[Page], None]
"""Sends a page, blocking; raises if it was not taken."""

log = structlog.get_logger(__name__)


class PageRefused(Exception):  # noqa: N818 - the name says what has happened
    """PagerDuty will never take this page; the text says why."""


class Pager:
    """Sends the waiting pages of a queue until PagerDuty has all of them.

    A page that is not taken lets the others go first. While none is taken, the back-off grows. A
    page that is refused for good is given up at once.

    Args:
        send: Sends one page.
        queue: The waiting pages.
        pause: Seconds before the first retry.
        may_send: Whether this process is the one that pages.
        instrumentation: Where pages that are given up are counted.
    """

    def __init__(
        self,
        send: Sender,
        queue: PageQueue | None = None,
        *,
        pause: float = PAUSE,
        may_send: Callable[[], bool] = lambda: True,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        self.queue = PageQueue() if queue is None else queue
        self.may_send = may_send
        self.sent = 0
        """Pages that PagerDuty took."""
        self.dropped = 0
        """Pages given up: too many waited, or PagerDuty refused them for good."""
        self._send = send
        self._instrumentation = instrumentation or Instrumentation()
        self._backoff = Backoff(pause, max(pause, LONGEST_PAUSE))
        self._woken = asyncio.Event()
        """Set when a page came to wait, or when this process may send."""
        self._error: str | None = None
        """Why PagerDuty did not take the last page, or None."""
        self._since = 0.0
        """Monotonic time since which PagerDuty takes none."""
        self._task: asyncio.Task[None] | None = None
        self._worker: DiskThread | None = None

    @property
    def trouble(self) -> str | None:
        """Why pages wait, or None."""
        if self._error is None:
            return None
        return f"PagerDuty takes no pages ({self._error}); {len(self.queue)} wait for it"

    def start(self) -> None:
        """Begin to send."""
        # The thread is a daemon: an API that hangs does not keep the process from ending.
        self._worker = DiskThread("charter pager")
        self._task = spawn(self._run(self._worker), "charter pager")
        self.wake()

    async def stop(self, deadline: float = 3.0) -> None:
        """Send the waiting pages, within ``deadline`` seconds; the rest stays in the queue."""
        task, self._task = self._task, None
        if task is None:
            return
        until = time.monotonic() + deadline
        while len(self.queue) and self._error is None and self.may_send():
            if time.monotonic() >= until:
                break
            await asyncio.sleep(0.02)
        await end(task, time.monotonic())
        if self._worker is not None:
            self._worker.end()

    def page(self, page: Page) -> None:
        """Queue a page; never wait."""
        lost = self.queue.add(page)
        if lost is not None:
            self._give_up(lost, "queue_full", "too many pages wait")
        self.wake()

    def wake(self) -> None:
        """Look again at the waiting pages."""
        self._woken.set()

    async def _run(self, worker: DiskThread) -> None:
        while True:
            page = self.queue.next() if self.may_send() else None
            if page is None:
                self._woken.clear()
                await self._woken.wait()
            elif not await self._deliver(page, worker):
                await asyncio.sleep(self._backoff.next())

    async def _deliver(self, page: Page, worker: DiskThread) -> bool:
        """Send a page, and return whether PagerDuty answers at all."""
        try:
            await worker.call(lambda: self._send(page))
        except PageRefused as refused:
            self.queue.refused(page)
            self._give_up(page, "refused", str(refused))
        except Exception as error:  # noqa: BLE001 - whatever it is, the page was not taken
            self.queue.failed(page)
            self._failed(error)
            return False
        else:
            self.sent += 1
            self.queue.taken(page)
        self._works()
        return True

    def _failed(self, error: Exception) -> None:
        if self._error is None:
            self._since = time.monotonic()
            log.warning("PagerDuty takes no pages, they wait", error=describe(error))
        self._error = describe(error)

    def _works(self) -> None:
        self._backoff.reset()
        if self._error is not None:
            self._error = None
            seconds = round(time.monotonic() - self._since, 3)
            log.info("PagerDuty takes pages again", seconds=seconds, waiting=len(self.queue))

    def _give_up(self, page: Page, reason: str, error: str) -> None:
        self.dropped += 1
        self._instrumentation.instruments.dropped("subscriber", reason)
        log.error("page given up", key=page.key, reason=reason, error=error)
