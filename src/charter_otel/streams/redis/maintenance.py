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
from charter_otel.streams.history import History
from charter_otel.streams.redis.consumer import GroupConsumer
from charter_otel.streams.redis.groups import Groups
from charter_otel.streams.redis.health import RedisHealth
from charter_otel.streams.redis.layout import StreamKeys, mark_of

log = structlog.get_logger(__name__)

EVERY = 1.0
"""Seconds between two rounds."""

_TIDY_EVERY = 300.0
_GONE_AFTER = 24 * 3_600_000


class GroupMaintenance:
    """Knows each group's lag, and keeps what its consumer holds from being taken over."""

    name = "maintenance"

    def __init__(
        self,
        client: Redis,
        layout: StreamKeys,
        groups: Groups,
        history: History,
        health: RedisHealth,
    ) -> None:
        self.lags: dict[str, int] = {}
        """Group → events not acknowledged yet."""
        self.backoff = Backoff()
        self._client = client
        self._layout = layout
        self._groups = groups
        self._history = history
        self._health = health
        self._tidied = time.monotonic()
        """Monotonic time when dead consumers were last removed."""
        self._tidy = Script(__package__, "tidy")
        self._refused = False
        """Whether the unknown lag was logged already."""
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
                self._note(error)
            self.backoff.reset()
            self._health.succeeded(self.name)
            await asyncio.sleep(EVERY)

    async def _look(self) -> None:
        for consumer in self._groups.consumers:
            if consumer.held:
                await self._keep(consumer)
        for group in await commands.groups(self._client, self._layout.events):
            self.lags[group["name"].decode("utf-8", "replace")] = self._lag(group)
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
        held = list(consumer.held)
        member = (consumer.group, consumer.identity)
        await commands.keep(self._client, self._layout.events, member, held)

    def _lag(self, group: dict[str, Any]) -> int:
        """Return the pending and the unread entries; Redis before 7 reports only the former."""
        unread = group.get("lag")
        if not isinstance(unread, int):
            position = self._history.seek(mark_of(group["last-delivered-id"]))
            unread = self._history.end - (self._history.start if position is None else position)
        return int(group["pending"]) + unread

    def _note(self, error: ResponseError) -> None:
        # No stream yet, or a user without the right to look: only the lag is unknown.
        if "no such key" not in str(error) and not self._refused:
            self._refused = True
            log.warning("lag of subscribers is not known", error=describe(error))
