"""Event streams: one interface, in the process or through Redis."""

from charter_otel.charter.patterns import EventTypes, resolve
from charter_otel.streams.base import EventStream
from charter_otel.streams.connect import connect, register_scheme
from charter_otel.streams.memory import DeadLetter, MemoryStream
from charter_otel.streams.redis import RedisStream
from charter_otel.streams.redis.partitioned import PartitionedStream
from charter_otel.streams.types import (
    BatchHandler,
    Destination,
    DropReason,
    Handler,
    Lease,
    LeaseLost,
    NotNow,
    Observer,
    SilentObserver,
    Start,
    Statistics,
    StreamUnavailable,
    SubscriberStatistics,
    Subscription,
    TakeOver,
)

__all__ = [
    "BatchHandler",
    "DeadLetter",
    "Destination",
    "DropReason",
    "EventStream",
    "EventTypes",
    "Handler",
    "Lease",
    "LeaseLost",
    "MemoryStream",
    "NotNow",
    "Observer",
    "PartitionedStream",
    "RedisStream",
    "SilentObserver",
    "Start",
    "Statistics",
    "StreamUnavailable",
    "SubscriberStatistics",
    "Subscription",
    "TakeOver",
    "connect",
    "register_scheme",
    "resolve",
]
