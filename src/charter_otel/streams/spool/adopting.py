"""Bringing events that wait for one address to another one."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from charter_otel.charter import InvalidEvent, decode
from charter_otel.redis.slots import partition_of
from charter_otel.streams.pending import PendingEvent
from charter_otel.streams.redis.partitioned import source_of
from charter_otel.streams.spool.directory import SpoolDirectory
from charter_otel.streams.spool.file import SpoolFile
from charter_otel.streams.spool.spool import LIMIT

_PAGE = 1000
_PAGE_BYTES = 4_194_304


def adopt_into(directory: Path, places: list[str], names: Iterable[str]) -> int:
    """Move events into files that a service at these places finds.

    Args:
        directory: The spool's directory.
        places: The stream's partitions, in order.
        names: Prefixes of the names of the files to empty.

    Returns:
        How many events were moved.

    Raises:
        OSError, sqlite3.Error: The disk does not allow it; events not moved stay where they were.
    """
    moved = 0
    with ExitStack() as stack:
        own = [SpoolDirectory(directory, place, limit=LIMIT).open() for place in places]
        for file in own:
            stack.callback(file.close)
        mine = {file.path for file in own}
        for name in names:
            for path in sorted(directory.glob(f"{name}-*.sqlite3")):
                if path not in mine:
                    moved += _move(path, own)
    return moved


def _move(path: Path, own: list[SpoolFile]) -> int:
    moved = 0
    file = SpoolFile(path, limit=LIMIT)
    try:
        while (page := file.read(_PAGE, _PAGE_BYTES)).events or page.damaged:
            parts: dict[int, list[PendingEvent]] = {}
            for event in page.events:
                parts.setdefault(_part(event, len(own)), []).append(event)
            for number, events in parts.items():
                own[number].append(events)
            moved += len(page.events)
            file.forget(page.last)
    finally:
        file.close()
    return moved


def _part(event: PendingEvent, partitions: int) -> int:
    """Return the partition of an event; any partition refuses one that cannot be read."""
    if partitions == 1:
        return 0
    try:
        return partition_of(source_of(decode(event.data)), partitions)
    except InvalidEvent:
        return 0
