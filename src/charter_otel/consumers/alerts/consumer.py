"""The consumer that pages."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from charter_otel.aio import spawn
from charter_otel.charter import Event, EventType
from charter_otel.consumers.alerts.incidents import Incidents
from charter_otel.consumers.alerts.page import Page
from charter_otel.consumers.alerts.pager import Pager
from charter_otel.consumers.base import Consumer
from charter_otel.streams import EventStream
from charter_otel.thresholds import Thresholds

GROUP = "charter.alerts"
TICK = 1.0
"""Seconds between two looks at pages that are held back."""


class Alerts(Consumer):
    """Pages on failed jobs, lost robots, fleet-wide losses and readings beyond the thresholds.

    Run it in one process: what is open is known there. Where Alertmanager runs with this project's
    rules, leave it out, or everything is paged twice.

    Args:
        pager: The way to PagerDuty.
        thresholds: From where on something is an incident.
        clock: Gives seconds of a monotonic clock.
    """

    name = "alerts"

    def __init__(
        self,
        pager: Pager,
        *,
        thresholds: Thresholds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pager = pager
        self._incidents = Incidents(thresholds, pager.open_keys)
        self._clock = clock
        self._ticking: asyncio.Task[None] | None = None

    def attach(self, stream: EventStream) -> None:
        """Subscribe to all but the starts of jobs."""
        wanted = [str(t) for t in EventType if t != EventType.METRICS_AGGREGATION_STARTED]
        stream.subscribe(*wanted, group=GROUP)(self.handle)

    async def start(self) -> None:
        """Begin to send."""
        self.pager.start()
        self._ticking = spawn(self._tick(), "charter consumer alerts")

    async def stop(self) -> None:
        """Send what waits, within a few seconds."""
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
            self._ticking = None
        await self.pager.stop()

    async def handle(self, event: Event) -> None:
        """Queue the pages that an event leads to."""
        self._page(self._incidents.handle(event, self._clock()))

    def look(self) -> None:
        """Queue the pages that were held back for long enough."""
        self._page(self._incidents.due(self._clock()))

    def _page(self, pages: Iterable[Page]) -> None:
        for page in pages:
            self.pager.page(page)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.look()
