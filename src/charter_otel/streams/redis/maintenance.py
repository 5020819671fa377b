"""The task that looks after all groups of a process: their lag, their claims, their leftovers."""

import asyncio
import time
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from charter_otel.aio import Backoff, describe
from charter_otel.redis import commands
from charter_otel.redis.script import Script
from charter_otel.redis.survey import survey
from charter_otel.streams.redis.consumer import GroupConsumer
from charter_otel.streams.redis.groups import Groups
from charter_otel.streams.redis.health import RedisHealth
from charter_otel.streams.redis.layout import StreamKeys, mark_of
from charter_otel.streams.redis.tail import Tail
from charter_otel.streams.types import Backlog

log = structlog.get_logger(__name__)

EVERY = 1.0
"""Seconds between two rounds."""

_TIDY_EVERY = 300.0
_GONE_AFTER = 24 * 3_600_000


class GroupMaintenance:
    """Knows each group's lag, and keeps what its consumer holds from being claimed."""

    name = "maintenance"

    def __init__(
        self,
        client: Redis,
        layout: StreamKeys,
        groups: Groups,
        tail: Tail,
        health: RedisHealth,
    ) -> None:
        self.backlogs: dict[str, Backlog] = {}
        """Group → events not acknowledged yet."""
        self.backoff = Backoff()
        self._client = client
        self._layout = layout
        self._groups = groups
        self._tail = tail
        self._health = health
        self._tidied = time.monotonic()
        """Monotonic time when dead consumers were last removed."""
        self._tidy = Script(__package__, "tidy")
        self._oldest = Script(__package__, "oldest")
        self._refused: set[str] = set()
        """Lines about what Redis does not tell that were written already."""
        self.replicas = 0
        """Replicas that must have a published event."""
        self.surveys = True
        """Whether to look at Redis's configuration once it can be reached."""

    async def session(self) -> None:
        """Look after the groups until something fails."""
        if self.surveys:
            await self._survey()
            self.surveys = False
        while True:
            try:
                await self._look()
            except ResponseError as error:
                self._note("lag of subscribers is not known", error)
            self.backoff.reset()
            self._health.succeeded(self.name)
            await asyncio.sleep(EVERY)

    async def _look(self) -> None:
        for consumer in self._groups.consumers:
            if consumer.held.ids:
                await self._keep(consumer)
        own = {consumer.group for consumer in self._groups.consumers}
        for group in await commands.groups(self._client, self._layout.events):
            name = group["name"].decode("utf-8", "replace")
            if name in own:
                self.backlogs[name] = await self._backlog(name, group)
        if time.monotonic() - self._tidied > _TIDY_EVERY:
            self._tidied = time.monotonic()
            for consumer in self._groups.consumers:
                await self._tidy(self._client, [self._layout.events], consumer.group, _GONE_AFTER)

    async def _survey(self) -> None:
        """Log the settings of Redis that break a promise."""
        for found in await survey(self._client, self.replicas):
            log.warning(
                "Redis breaks a delivery class",
                delivery_class=found.delivery_class,
                because=found.because,
                do=found.do,
                stream=self._health.name,
            )

    async def _keep(self, consumer: GroupConsumer) -> None:
        """Refresh the idle time of entries in work: a slow handler is not a dead one."""
        held = list(consumer.held.ids)
        member = (consumer.group, consumer.identity)
        await commands.keep(self._client, self._layout.events, member, held)

    async def _backlog(self, name: str, group: dict[str, Any]) -> Backlog:
        events = self._lag(group)
        if not events:
            return Backlog()
        return Backlog(events, await self._age(name, group["last-delivered-id"]))

    async def _age(self, group: str, last: bytes) -> float:
        """Return for how many seconds the oldest entry has waited; 0 if Redis does not tell."""
        try:
            age: int = await self._oldest(self._client, [self._layout.events], group, last)
        except ResponseError as error:
            self._note("age of the oldest event is not known", error)
            return 0.0
        return age / 1000

    def _lag(self, group: dict[str, Any]) -> int:
        """Return the pending and the unread entries; Redis before 7 reports only the former."""
        unread = group.get("lag")
        if not isinstance(unread, int):
            unread = self._tail.unread(mark_of(group["last-delivered-id"]))
        return int(group["pending"]) + unread

    def _note(self, line: str, error: ResponseError) -> None:
        # No stream yet, or a user without the right to look: all else is known.
        if "no such key" not in str(error) and line not in self._refused:
            self._refused.add(line)
            log.warning(line, error=describe(error))
