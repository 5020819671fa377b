"""From a URL to a stream."""

from pathlib import Path

from charter_otel.redis.address import EXAMPLES, SCHEMES
from charter_otel.streams.base import EventStream
from charter_otel.streams.memory import MemoryStream
from charter_otel.streams.redis import RedisStream
from charter_otel.streams.redis.lease import LEASE
from charter_otel.streams.redis.partitioned import PartitionedStream
from charter_otel.streams.types import Observer


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
            ``redis+cluster://host:port,host:port``) or ``none``.
        observer: Who is told what the stream does.
        spool: Directory where events wait that Redis does not take.
        lease: Seconds after which an exclusive group of a process that died is taken over.
        partitions: Parts of a stream in Redis, each in a slot of its own; see `PartitionedStream`.

    Returns:
        The stream, or None for ``none``.

    Raises:
        ValueError: The URL is none of these, or there cannot be so many parts. The text says what
            is right and repeats nothing of the URL, which may hold a password.
    """
    if url == "none":
        return None
    if url == "memory://":
        return MemoryStream(observer=observer)
    if url.partition(":")[0].lower() in SCHEMES:
        if partitions != 1:
            return PartitionedStream(url, partitions, observer=observer, spool=spool, lease=lease)
        return RedisStream(url, observer=observer, spool=spool, lease=lease)
    raise ValueError(f"an event stream is memory://, none, or as in {EXAMPLES}")
