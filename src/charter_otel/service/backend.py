"""The back end that ``CHARTER_EVENT_STREAM`` names: the only module that interprets the variable.

To add a back end, write a `Backend` and name its schemes in `parse`.
"""

from abc import ABC, abstractmethod
from pathlib import Path

from charter_otel.metrics import MissionStore, NoLock, RedisSlotLock, SlotLock
from charter_otel.metrics.missions import MemoryMissions, RedisMissions
from charter_otel.redis.address import SCHEMES, parse_address
from charter_otel.redis.slots import prefixes
from charter_otel.streams import EventStream, connect
from charter_otel.streams.types import Observer
from charter_otel.telemetry import Connections, Fleet
from charter_otel.telemetry.cluster import (
    LEASE,
    CloseLost,
    LocalPresence,
    Partition,
    PartitionedPresence,
    SharedPresence,
)


class Backend(ABC):
    """The store of events, missions, slots and presence. Nothing connects until it is used."""

    shared = False
    """Whether other processes see the same events."""
    silent = False
    """Whether events are discarded: ``none``."""

    @abstractmethod
    def stream(
        self, *, observer: Observer | None, spool: Path | None, lease: float = LEASE
    ) -> EventStream | None:
        """Return the event stream, or None for ``none``; see `charter_otel.streams.connect`."""

    @abstractmethod
    def missions(self) -> MissionStore:
        """Return the store of the mission entries and their aggregates."""

    @abstractmethod
    def slot_lock(self) -> SlotLock:
        """Return the lock that gives each slot of a job to one instance."""

    @abstractmethod
    def presence(
        self, fleet: Fleet, connections: Connections, close: CloseLost, *, lease: float = LEASE
    ) -> LocalPresence:
        """Return the presence of the robots, across all instances.

        Args:
            fleet: The robots of this instance.
            connections: Its open connections.
            close: Emits the closing event of a dead instance's connection.
            lease: Seconds for which an instance's heartbeat is valid.
        """


class InProcess(Backend):
    """Everything lives in this process, which is the only instance.

    Args:
        url: ``memory://``, ``none``, or a scheme of a stream that a program registered.

    Raises:
        ValueError: The URL is none of these.
    """

    def __init__(self, url: str) -> None:
        self.silent = connect(url) is None
        self._url = url

    def stream(
        self, *, observer: Observer | None, spool: Path | None, lease: float = LEASE
    ) -> EventStream | None:
        """Return the stream that the URL names."""
        del lease
        return connect(self._url, observer=observer, spool=spool)

    def missions(self) -> MissionStore:
        """Return a store in memory."""
        return MemoryMissions()

    def slot_lock(self) -> SlotLock:
        """Return a lock that grants every slot."""
        return NoLock()

    def presence(
        self, fleet: Fleet, connections: Connections, close: CloseLost, *, lease: float = LEASE
    ) -> LocalPresence:
        """Return the presence of a single instance."""
        del connections, close, lease
        return LocalPresence(fleet)


class InRedis(Backend):
    """Everything lives in Redis, and several instances share it.

    Args:
        url: A Redis URL; see `charter_otel.redis.address`.
        partitions: Partitions of the event stream.
        prefix: The prefix of all keys; its braces are the hash tag that keeps them in one slot.

    Raises:
        ValueError: The URL or the number is wrong; the text repeats nothing of the URL.
    """

    shared = True

    def __init__(self, url: str, partitions: int = 1, *, prefix: str = "{charter}") -> None:
        self.url = url
        self.partitions = partitions
        self._address = parse_address(url)
        self._prefix = prefix
        self._prefixes = prefixes(partitions, prefix)

    def stream(
        self, *, observer: Observer | None, spool: Path | None, lease: float = LEASE
    ) -> EventStream | None:
        """Return a stream, partitioned if there is more than one partition."""
        return connect(
            self.url, observer=observer, spool=spool, partitions=self.partitions, lease=lease
        )

    def missions(self) -> MissionStore:
        """Return a store beside the stream; there is one, whatever the number of partitions."""
        client = self._address.client(self._prefix)
        return RedisMissions(client, prefix=self._prefix, replicas=self._address.replicas)

    def slot_lock(self) -> SlotLock:
        """Return a lock that all instances share."""
        return RedisSlotLock(self._address.client(self._prefix), prefix=self._prefix)

    def presence(
        self, fleet: Fleet, connections: Connections, close: CloseLost, *, lease: float = LEASE
    ) -> LocalPresence:
        """Return the presence that the instances share, one for each partition."""

        def shared(prefix: str, held: Connections) -> SharedPresence:
            client = self._address.client(prefix)
            return SharedPresence(client, fleet, held, close, lease=lease, prefix=prefix)

        if self.partitions == 1:
            return shared(self._prefix, connections)
        held = [(prefix, Connections()) for prefix in self._prefixes]
        return PartitionedPresence(
            fleet, [Partition(own, shared(prefix, own)) for prefix, own in held]
        )


def parse(url: str, partitions: int = 1, *, prefix: str = "{charter}") -> Backend:
    """Return the back end that a value of ``CHARTER_EVENT_STREAM`` names.

    Args:
        url: ``memory://``, ``none``, a Redis URL, or a scheme that a program registered.
        partitions: Partitions of a stream in Redis; the same in all instances.
        prefix: The prefix of keys in Redis.

    Raises:
        ValueError: The URL or the number is wrong; the text says what is right and repeats nothing
            of the URL, which may hold a password.
    """
    if url.partition(":")[0].lower() in SCHEMES:
        return InRedis(url, partitions, prefix=prefix)
    return InProcess(url)
