"""The consumer that pages."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import structlog

from charter_otel.aio import Backoff, describe, end, spawn
from charter_otel.charter import Event, EventType
from charter_otel.consumers.alerts import page_queue
from charter_otel.consumers.alerts.incidents import Incidents
from charter_otel.consumers.alerts.page import Page
from charter_otel.consumers.alerts.page_queue import PagerState
from charter_otel.consumers.alerts.pager import Pager
from charter_otel.consumers.base import ExclusiveConsumer, unwritable
from charter_otel.redis.errors import FAILURES
from charter_otel.streams import EventStream, Lease, LeaseLost
from charter_otel.thresholds import Thresholds

GROUP = "charter.alerts"
TICK = 1.0
"""Seconds between two checks of pages that are held back, and of unsaved state."""
REMEMBER_EVERY = 5.0
"""Seconds between two saves of what only judges what comes."""
LONGEST_PAUSE = 10.0
"""Seconds until a state that could not be saved is saved again, at most; a change is at once."""

log = structlog.get_logger(__name__)


class Alerts(ExclusiveConsumer):
    """Pages on failed jobs, lost robots, fleet-wide losses and readings beyond the thresholds.

    One of several instances does so. An event counts as handled when its pages are saved: in a
    file, and in Redis for the instance that takes over when this one dies. From there the newest
    page of each incident goes to PagerDuty, for as long as that takes.

    If Alertmanager runs with this project's rules, leave the consumer out; otherwise everything
    is paged twice.

    Args:
        pager: The delivery to PagerDuty.
        state: File in which the open incidents outlive the process; None to lose them.
        thresholds: The limits beyond which something is an incident.
        clock: Returns seconds of a monotonic clock.
    """

    name = "alerts"

    def __init__(
        self,
        pager: Pager,
        *,
        state: Path | None = None,
        thresholds: Thresholds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.pager = pager
        pager.may_send = lambda: self.holds
        self._path = state
        self._incidents = Incidents(thresholds)
        self._clock = clock
        self._epoch = 0
        """The epoch of the lease under which the state was saved last."""
        self._number = 0
        """Grows with each saved state."""
        self._unsaved = False
        """Whether the newest state could not be saved in Redis yet."""
        self._unwritten: str | None = None
        """Why the state could not be written to the file."""
        self._seen = (0, 0)
        """Numbers of pages sent and given up when the state was last saved."""
        self._remembered = (0, -math.inf)
        """Events that were learned from when the memory was last saved, and when that was."""
        self._backoff = Backoff(2 * TICK, LONGEST_PAUSE)
        self._again = -math.inf
        """When a state that could not be saved is due."""
        self._saving = asyncio.Lock()
        self._ticking: asyncio.Task[None] | None = None
        self._restore(self._read())

    @property
    def open_keys(self) -> frozenset[str]:
        """Keys of the incidents that are open."""
        return self._incidents.open_keys

    def attach(self, stream: EventStream) -> None:
        """Subscribe to all types but the start of a job."""
        wanted = [str(t) for t in EventType if t != EventType.METRICS_AGGREGATION_STARTED]
        self._holds = False
        stream.subscribe(*wanted, group=GROUP, take_over=self._take_over)(self.handle)

    async def start(self) -> None:
        """Start to send."""
        self.pager.start()
        self._ticking = spawn(self._tick(), "charter consumer alerts")

    async def stop(self) -> None:
        """Send the waiting pages, within a few seconds; the rest is sent after the next start."""
        if self._ticking is not None:
            await end(self._ticking, time.monotonic())
            self._ticking = None
        await self.pager.stop()
        with contextlib.suppress(LeaseLost):
            await self._save()

    async def handle(self, event: Event) -> None:
        """Save the pages that an event leads to, and queue them."""
        self._holds = True
        before = self._incidents.changes
        self._page(self._incidents.handle(event, self._clock()))
        if self._incidents.changes != before:
            await self._save()

    async def look(self) -> None:
        """Queue pages that were held back for long enough; save the state if it has changed."""
        if self.holds:
            before = self._incidents.changes
            self._page(self._incidents.due(self._clock()))
            sent = self.pager.sent, self.pager.dropped
            changed = self._incidents.changes != before or sent != self._seen
            failed = self._unsaved or self._unwritten is not None
            if changed or self._has_learned() or (failed and self._clock() >= self._again):
                self._seen = sent
                await self._save()
        self.trouble = (self.pager.trouble or self._unwritten) if self.holds else None
        self.pager.wake()

    def _has_learned(self) -> bool:
        """Return whether the memory has changed and is to be saved again, which is not often."""
        learned = self._incidents.learned
        if learned == self._remembered[0] or self._clock() < self._remembered[1] + REMEMBER_EVERY:
            return False
        self._remembered = learned, self._clock()
        return True

    def _page(self, pages: Iterable[Page]) -> None:
        for page in pages:
            self.pager.page(page)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            with contextlib.suppress(LeaseLost):
                await self.look()

    async def _take_over(self, lease: Lease) -> None:
        """Go on with the last holder's state, unless this process has a newer one."""
        left = await lease.load()
        try:
            state = page_queue.decode(left) if left else PagerState()
        except (msgspec.DecodeError, UnicodeError) as error:
            log.warning("the state of the last pager is unreadable", error=describe(error))
            state = PagerState()
        # Not by the clock of the last holder's machine.
        state.memory.at = time.time() - lease.age
        mine = self._state()
        newest = max(state, mine, key=lambda each: (each.epoch, each.number))
        self._restore(newest)
        self._lease = lease
        if newest.open or newest.waiting:
            log.info("incidents taken over", open=len(newest.open), waiting=len(newest.waiting))

    def _restore(self, state: PagerState) -> None:
        self._number, self._epoch = state.number, state.epoch
        self._incidents.restore(state.open, state.held, state.memory, self._clock())
        self.pager.queue.restore(state)

    def _state(self) -> PagerState:
        state = self.pager.queue.state(self._incidents.open_keys, self._incidents.held)
        state.epoch, state.number = self._epoch, self._number
        state.memory = self._incidents.memory(self._clock())
        return state

    async def _save(self) -> None:
        """Save the state, in the file and for the next holder.

        Raises:
            LeaseLost: Another process pages now.
        """
        async with self._saving:
            self._number += 1
            self._epoch = self._lease.epoch if self._lease is not None else self._epoch
            data = page_queue.encode(self._state())
            if self._path is not None:
                await self._write_down(self._path, data)
            if self._lease is not None:
                await self._hand_over(self._lease, data)
            if self._unsaved or self._unwritten is not None:
                self._again = self._clock() + self._backoff.next()
            else:
                self._backoff.reset()

    async def _hand_over(self, lease: Lease, data: bytes) -> None:
        self._unsaved = True
        try:
            await lease.save(data)
        except FAILURES as error:
            log.debug("open incidents will be handed over later", error=describe(error))
        else:
            self._unsaved = False

    async def _write_down(self, path: Path, data: bytes) -> None:
        try:
            await asyncio.to_thread(_write, path, data)
        except OSError as error:
            if self._unwritten is None:
                log.warning("open incidents could not be written down", error=describe(error))
            self._unwritten = unwritable(f"open incidents in {path}", error)
        else:
            self._unwritten = None

    def _read(self) -> PagerState:
        if self._path is None:
            return PagerState()
        try:
            return page_queue.decode(self._path.read_bytes())
        except FileNotFoundError:
            return PagerState()
        except (OSError, msgspec.DecodeError, UnicodeError) as error:
            kept = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns() // 1_000_000}")
            with contextlib.suppress(OSError):
                self._path.rename(kept)
            log.error(  # noqa: TRY400 - the state is what is wrong, not this program
                "open incidents are unreadable and put aside; those before the restart are not"
                " known",
                path=str(kept),
                error=describe(error),
            )
            return PagerState()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_bytes(data)
    draft.replace(path)
