"""Making a stream from a URL."""

import re
from pathlib import Path
from typing import Literal, Protocol, overload

from charter_otel.redis.address import EXAMPLES, SCHEMES
from charter_otel.streams.base import EventStream
from charter_otel.streams.memory import MemoryStream
from charter_otel.streams.redis import RedisStream
from charter_otel.streams.redis.lease import LEASE
from charter_otel.streams.redis.partitioned import PartitionedStream
from charter_otel.streams.types import Observer


class MakeStream(Protocol):
    """Makes a stream from a URL of a registered scheme."""

    def __call__(self, url: str, *, observer: Observer | None) -> EventStream:
        """Return the stream; it does nothing until it is started."""


_makers: dict[str, MakeStream] = {}


def register_scheme(scheme: str, make: MakeStream) -> None:
    """Let `connect`, and so ``CHARTER_EVENT_STREAM``, accept URLs of a scheme of your own.

    Such a stream serves one instance: missions, slots and presence stay in the process.

    Args:
        scheme: The part before ``://``, e.g. ``nats``.
        make: Returns the stream that a URL names, or raises ValueError for a wrong one.

    Raises:
        ValueError: The text is not a scheme, or is one of the package's own.
    """
    if not re.fullmatch("[a-z][a-z0-9+.-]*", scheme):
        raise ValueError(
            f"{scheme!r} is not a scheme: use lower-case letters and digits, e.g. nats"
        )
    if scheme in {*SCHEMES, "memory", "none"}:
        raise ValueError(f"{scheme}:// is a stream of the package; use another scheme")
    _makers[scheme] = make


@overload
def connect(url: Literal["memory://"], *, observer: Observer | None = None) -> MemoryStream: ...
@overload
def connect(
    url: str,
    *,
    observer: Observer | None = None,
    spool: Path | None = None,
    partitions: int = 1,
    lease: float = LEASE,
) -> EventStream | None: ...
def connect(
    url: str,
    *,
    observer: Observer | None = None,
    spool: Path | None = None,
    partitions: int = 1,
    lease: float = LEASE,
) -> EventStream | None:
    """Make the stream that a URL names; it does nothing until it is started.

    Args:
        url: ``memory://``, ``redis://host:port/0`` (also Valkey, ``rediss://``, ``unix://``,
            ``redis+sentinel://host:port,host:port/mymaster/0``,
            ``redis+cluster://host:port,host:port``), ``none``, or one of a registered scheme.
        observer: Is notified of what the stream does.
        spool: Directory for events that Redis does not accept.
        lease: Seconds after which a dead process's exclusive group is taken over.
        partitions: Parts of a stream in Redis, each in a slot of its own; see `PartitionedStream`.

    Returns:
        The stream, or None for ``none``.

    Raises:
        ValueError: The URL is not one of these, or the number of partitions is out of range. The
            text says what is right and repeats nothing of the URL, which may hold a password.
    """
    if url == "none":
        return None
    if url == "memory://":
        return MemoryStream(observer=observer)
    scheme = url.partition(":")[0].lower()
    if make := _makers.get(scheme):
        return make(url, observer=observer)
    if scheme in SCHEMES:
        if partitions != 1:
            return PartitionedStream(url, partitions, observer=observer, spool=spool, lease=lease)
        return RedisStream(url, observer=observer, spool=spool, lease=lease)
    raise ValueError(f"an event stream is memory://, none, or as in {EXAMPLES}")
