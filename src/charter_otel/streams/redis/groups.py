"""The consumer groups of one process: each with a task and a connection of its own."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from charter_otel.aio import describe, end, spawn
from charter_otel.redis.address import Address
from charter_otel.redis.errors import FAILURES
from charter_otel.streams.delivery import Delivery
from charter_otel.streams.redis.consumer import GroupConsumer
from charter_otel.streams.redis.health import RedisHealth, run_forever
from charter_otel.streams.redis.layout import StreamKeys, destination_of
from charter_otel.streams.types import Backlog, Observer, SubscriberStatistics, Subscription

log = structlog.get_logger(__name__)


class DeliveryRules(NamedTuple):
    """Rules of delivery."""

    max_deliveries: int
    redelivery_delay: float
    """Seconds before the second delivery."""
    min_idle: float
    """Seconds after which a dead consumer's entries are claimed."""


class Groups:
    """Makes a consumer of each subscription, and starts and stops them."""

    def __init__(
        self,
        address: Address,
        layout: StreamKeys,
        rules: DeliveryRules,
        health: RedisHealth,
        observer: Observer,
    ) -> None:
        self.consumers: list[GroupConsumer] = []
        self._address = address
        self._layout = layout
        self._rules = rules
        self._health = health
        self._observer = observer
        self.identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, subscription: Subscription) -> GroupConsumer:
        """Make a consumer of a subscription."""
        delivery = Delivery(
            subscription,
            self._observer,
            destination=destination_of(self._address, self._layout),
            max_deliveries=self._rules.max_deliveries,
            redelivery_delay=self._rules.redelivery_delay,
        )
        consumer = GroupConsumer(
            self._address.client(self._layout.events),
            self._layout,
            self.identity,
            subscription,
            delivery,
            health=self._health,
            min_idle=self._rules.min_idle,
        )
        self.consumers.append(consumer)
        return consumer

    def start(self, consumers: Iterable[GroupConsumer]) -> None:
        """Begin to deliver."""
        for consumer in consumers:
            consumer.delivery.begin()
            running = run_forever(consumer.session, consumer.name, self._health, consumer.backoff)
            self._tasks[consumer.group] = spawn(running, f"charter redis {consumer.name}")

    async def ensure(self, client: Redis) -> None:
        """Create the groups that do not exist yet.

        A group that Redis refuses is left to its consumer, which keeps trying and logs it.

        Raises:
            RedisError: Redis cannot be reached.
        """
        for consumer in self.consumers:
            try:
                await consumer.ensure(client)
            except ResponseError as error:
                log.debug("group refused", group=consumer.group, error=describe(error))

    async def stop(self, until: float) -> None:
        """Let handlers that run end, cancel those that still run at ``until`` (monotonic)."""
        stopping = []
        for consumer in self.consumers:
            if (task := self._tasks.pop(consumer.group, None)) is not None:
                consumer.delivery.stop(task)
                stopping.append(end(task, until))
        await asyncio.gather(*stopping)

    async def release(self, until: float) -> None:
        """Acknowledge handled entries and leave the rest to the next consumer."""
        await asyncio.gather(*(self._release(consumer, until) for consumer in self.consumers))

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(consumer.close() for consumer in self.consumers))

    def statistics(self, backlogs: Mapping[str, Backlog]) -> tuple[SubscriberStatistics, ...]:
        """Return the consumers' statistics."""
        nothing = Backlog()
        return tuple(c.delivery.statistics(backlogs.get(c.group, nothing)) for c in self.consumers)

    async def _release(self, consumer: GroupConsumer, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.05, until - time.monotonic())):
                await consumer.release()
        except FAILURES as error:
            log.warning("left for others to claim", group=consumer.group, error=describe(error))
