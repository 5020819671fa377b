"""The layout in Redis: the keys, and an entry's fields."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from charter_otel.charter import Event, InvalidEvent, decode
from charter_otel.charter.ids import milliseconds
from charter_otel.redis.address import Address
from charter_otel.streams.history import StreamPosition
from charter_otel.streams.register import RegisterKeys
from charter_otel.streams.types import Destination

EVENT = b"event"
"""Field of an entry: the envelope's JSON."""

TRACEPARENT = b"traceparent"
"""Field of an entry: the publisher's trace context."""

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_HASH_TAG = re.compile(r"[^{}]*\{[^{}]+\}[^{}]*")

Fields = Mapping[bytes, bytes]


class StreamKeys:
    """The keys of a stream; one hash tag holds them together in one slot of a cluster.

    Args:
        prefix: The prefix of all keys; contains the hash tag, e.g. ``{charter}``.

    Raises:
        ValueError: The prefix has no hash tag.
    """

    def __init__(self, prefix: str = "{charter}") -> None:
        if not _HASH_TAG.fullmatch(prefix):
            raise ValueError(f"the key prefix {prefix!r} needs one hash tag, as in '{{charter}}'")
        self.events = f"{prefix}:events"
        self.dead = f"{prefix}:events:dead"
        self.register = RegisterKeys(prefix)
        self._published = f"{prefix}:published:"
        self._leases = f"{prefix}:leases:"

    def published(self, minute: int) -> str:
        """Return the hash of the entry ids of a minute's events."""
        return f"{self._published}{minute}"

    def lease(self, group: str) -> str:
        """Return the key that names the process that handles an exclusive group's events."""
        return f"{self._leases}{group}"

    def left_by(self, group: str) -> str:
        """Return the hash in which an exclusive group's last holder left its state."""
        return f"{self._leases}{group}:left"


def destination_of(address: Address, layout: StreamKeys) -> Destination:
    """Return what spans and metrics name: the stream's key, and the Redis that is configured."""
    return Destination("redis", layout.events, *address.server)


class Content(NamedTuple):
    """The content of an entry."""

    event: Event
    traceparent: str | None


def parse(fields: Fields) -> Content:
    """Return an entry's content.

    Raises:
        InvalidEvent: The entry holds no Charter event.
    """
    data = fields.get(EVENT)
    if data is None:
        raise InvalidEvent("the entry has no field 'event'")
    event = decode(data)
    traceparent = fields.get(TRACEPARENT)
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        return Content(event, None)
    return Content(event, traceparent.decode())


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a script's flat list of an entry's fields as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def mark_of(entry_id: bytes) -> StreamPosition:
    """Return an entry's place as a pair of numbers."""
    made, _, sequence = entry_id.partition(b"-")
    return int(made), int(sequence)


def since(event_id: str) -> StreamPosition:
    """Return the place just before everything that was added at an event's time or later."""
    return milliseconds(event_id), -1


def range_after(mark: StreamPosition) -> str:
    """Return the beginning of an XRANGE that starts after a place."""
    made, sequence = mark
    return f"{made}" if sequence < 0 else f"({made}-{sequence}"
