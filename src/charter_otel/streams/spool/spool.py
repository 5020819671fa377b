"""The spool as the event loop sees it: every call to the disk is made in a thread of its own."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from charter_otel.aio import describe
from charter_otel.streams.pending import PendingEvent
from charter_otel.streams.spool.directory import SpoolDirectory, is_damaged
from charter_otel.streams.spool.file import Appended, SpoolFile, SpoolPage
from charter_otel.streams.spool.worker import DiskThread

T = TypeVar("T")

log = structlog.get_logger(__name__)

LIMIT = 1_073_741_824
"""Maximum bytes of events that a spool holds: about three hours at 200 events a second."""

RETRY_AFTER = 1.0
"""Seconds for which a failed disk is not tried again."""

_FAILURES = (sqlite3.Error, OSError)


class SpoolUnavailable(Exception):  # noqa: N818 - the name says what the spool is
    """The disk does not take or give events.

    Args:
        lost: Whether the spool's events are lost, except the saved ones.
        saved: How many events were saved from a damaged file.
    """

    def __init__(self, *, lost: bool, saved: int = 0) -> None:
        super().__init__("the spool is damaged" if lost else "the spool cannot be used now")
        self.lost = lost
        self.saved = saved


class Spool:
    """Events on disk, bounded, in order, kept across restarts.

    A failing disk is logged once, and tried again after a second.

    Args:
        path: The directory; each instance has a file of its own there.
        place: The stream of the events, in plain text and without a secret.
        limit: Maximum bytes of events that are held; beyond it the oldest are dropped.
    """

    def __init__(self, path: Path, place: str, *, limit: int = LIMIT) -> None:
        self._directory = SpoolDirectory(path, place, limit=limit)
        self._worker: DiskThread | None = None
        self._file: SpoolFile | None = None
        """None before `open`, after `close`, and after damage, until a new file is open."""
        self._failing = False
        """Whether the last operation failed; a change is logged, not each attempt."""
        self._retry_at = 0.0
        """Monotonic time before which a failed disk is left alone."""
        self._found = self._lost = 0
        """Events of earlier processes that `collect` has not reported yet."""

    @property
    def works(self) -> bool:
        """Whether the last operation worked."""
        return not self._failing

    @property
    def may_try(self) -> bool:
        """Whether it works, or it is time to see if it works again."""
        return time.monotonic() >= self._retry_at

    async def open(self) -> bool:
        """Open a file, and move the events of dead instances into it.

        Returns:
            Whether there is a file to write to.
        """
        if self._file is None and self.may_try:
            self._worker = self._worker or DiskThread("charter spool")
            try:
                await self._worker.call(self._open)
            except _FAILURES as error:
                self._failed(error)
        return self._file is not None

    def collect(self) -> tuple[int, int]:
        """Return how many events of earlier processes were found, and lost, since the last call."""
        found, self._found, lost, self._lost = self._found, 0, self._lost, 0
        return found, lost

    async def adopt(self) -> None:
        """Move the events of dead instances into this instance's file."""
        if self._file is not None:
            try:
                await self._call(self._adopt)
            except SpoolUnavailable:
                return

    async def append(self, events: Sequence[PendingEvent], taken: int) -> Appended:
        """Add events; they are on the disk when this returns. See `SpoolFile.append`.

        Raises:
            SpoolUnavailable: They are not.
        """
        appended = await self._call(lambda: self._own().append(events, taken))
        self._succeeded()
        return appended

    async def read(self, limit: int, limit_bytes: int) -> SpoolPage:
        """Return the oldest events. See `SpoolFile.read`.

        Raises:
            SpoolUnavailable: The file cannot be read now, or was damaged and put aside.
        """
        page = await self._call(lambda: self._own().read(limit, limit_bytes))
        self._succeeded()
        return page

    def forget(self, last: int) -> None:
        """Remove events up to a number; if that fails, they come again after a restart."""
        if self._worker is not None:
            self._worker.submit(lambda: self._own().forget(last))

    async def close(self) -> None:
        """Close the file; its events wait for the next start."""
        if self._worker is not None:
            await self._worker.call(self._close)
            self._worker.end()
            self._worker = None

    def _open(self) -> None:
        if self._file is not None:
            return
        file = self._directory.open()
        self._found += file.count
        self._file = file
        self._adopt()
        self._log_others()

    def _log_others(self) -> None:
        """Log events for other addresses: a Redis that moved does not get them by itself."""
        others = self._directory.others()
        if others:
            log.warning(
                "events for other addresses lie in the spool; `charter-otel spool list` shows them,"
                " `charter-otel spool adopt` brings them to this one",
                count=sum(each.events for each in others),
                addresses=[each.place for each in others],
                path=str(self._directory.path),
            )

    def _adopt(self) -> None:
        moved, lost = self._directory.adopt(self._own())
        self._found += moved
        self._lost += lost
        if self._found:
            log.info("events of an earlier process found on disk", count=self._found)

    def _own(self) -> SpoolFile:
        if self._file is None:
            raise sqlite3.OperationalError("the spool is not open")
        return self._file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    async def _call(self, function: Callable[[], T]) -> T:
        if self._worker is None:
            raise SpoolUnavailable(lost=False)
        try:
            return await self._worker.call(function)
        except _FAILURES as error:
            self._failed(error)
            lost = is_damaged(error) and self._file is not None
            saved = await self._renew(self._worker) if lost else 0
            raise SpoolUnavailable(lost=lost, saved=saved) from error

    async def _renew(self, worker: DiskThread) -> int:
        """Put a damaged file aside and begin a new one with the events that can be saved."""
        self._retry_at = 0.0
        try:
            return await worker.call(self._replace)
        except _FAILURES as error:
            log.warning("damaged spool cannot be put aside", error=describe(error))
            return 0

    def _replace(self) -> int:
        damaged = self._own()
        self._close()
        self._file, saved = self._directory.renew(damaged.path, damaged.in_hand)
        return saved

    def _failed(self, error: BaseException) -> None:
        self._retry_at = time.monotonic() + RETRY_AFTER
        if not self._failing:
            self._failing = True
            log.warning(
                "spool on disk fails, events wait in memory only; free space, or set"
                " CHARTER_STATE_DIR to a directory that can be written",
                path=str(self._directory.path),
                error=describe(error),
            )

    def _succeeded(self) -> None:
        self._retry_at = 0.0
        if self._failing:
            self._failing = False
            log.info("spool on disk works again", path=str(self._directory.path))
