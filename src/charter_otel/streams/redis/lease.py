"""The lease of an exclusive group: one of the processes that share a Redis holds it."""

import asyncio
import math
import time
from typing import cast

import structlog
from redis.asyncio import Redis

from charter_otel.aio import Backoff, describe
from charter_otel.redis.errors import FAILURES
from charter_otel.redis.script import Script
from charter_otel.streams.redis.health import RedisHealth
from charter_otel.streams.redis.layout import StreamKeys
from charter_otel.streams.types import Lease, LeaseLost, TakeOver

LEASE = 15.0
"""Seconds for which a lease is valid without a renewal."""

_RENEWALS = 3

log = structlog.get_logger(__name__)


class RedisLease(Lease):
    """A lease in Redis, which expires by the clock of Redis alone.

    Redis counts the lease's time from the end of a renewal, its holder from the *beginning*. So no
    two processes hold it at once, whatever their clocks show. Only a Redis whose clock is set
    forward may give it to another process early; the fencing epoch then keeps the former holder
    from leaving a state.
    """

    def __init__(
        self,
        client: Redis,
        layout: StreamKeys,
        group: str,
        *,
        holder: str,
        take_over: TakeOver,
        health: RedisHealth,
        seconds: float = LEASE,
    ) -> None:
        super().__init__(take_over)
        self.name = f"lease {group}"
        self.backoff = Backoff()
        self._client = client
        self._group = group
        self._keys = [layout.lease(group), layout.left_by(group)]
        self._holder = holder
        """A name of this process that no other one has."""
        self._health = health
        self._seconds = seconds
        """For how long the lease is valid without a renewal."""
        self._renew = Script(__package__, "lease")
        self._hand_on = Script(__package__, "hand_on")
        self._left_by = Script(__package__, "left_by")
        self._until = -math.inf
        """Monotonic time until which no other process can have taken the lease."""
        self._ready = asyncio.Event()
        """Set while this process is the holder and has taken over."""

    @property
    def held(self) -> bool:
        """Whether no other process can be the holder."""
        return self._ready.is_set() and time.monotonic() < self._until

    async def wait(self) -> None:
        """Wait until this process is the holder, and has taken over."""
        while not self.held:
            self._ready.clear()
            await self._ready.wait()

    async def load(self) -> bytes | None:
        """Return the state that the last holder left, or None.

        Raises:
            RedisError: Redis cannot be reached.
        """
        state, age = await self._left_by(self._client, self._keys[1:]) or (None, 0)
        self.age = max(0.0, float(age))
        return cast("bytes | None", state)

    async def save(self, state: bytes) -> None:
        """Leave a state to the next holder.

        Raises:
            LeaseLost: This process is not the holder any more.
            RedisError: Redis cannot be reached.
        """
        keys, epoch = self._keys, self.epoch
        if not self.held or not await self._hand_on(self._client, keys, self._holder, epoch, state):
            self._lose()
            raise LeaseLost

    async def session(self) -> None:
        """Take the lease when it is free, and keep it, until something fails."""
        while True:
            begun = time.monotonic()
            milliseconds = int(self._seconds * 1000)
            remaining = await self._renew(self._client, self._keys, self._holder, milliseconds)
            if remaining:
                await self._keep(int(remaining), begun)
            else:
                self._lose()
            self.backoff.reset()
            self._health.succeeded(self.name)
            await asyncio.sleep(self._seconds / _RENEWALS)

    async def release(self) -> None:
        """Release the lease, so that the next holder need not wait."""
        held, epoch = self.held, self.epoch
        self._ready.clear()
        self._until = -math.inf
        if held:
            try:
                async with asyncio.timeout(0.5):
                    await self._hand_on(self._client, self._keys, self._holder, epoch)
            except FAILURES as error:
                log.debug("lease is left to expire", group=self._group, error=describe(error))

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _keep(self, epoch: int, begun: float) -> None:
        new = epoch != self.epoch or not self._ready.is_set()
        self._until = begun + self._seconds
        if new:
            self.epoch = epoch
            await self._take_over(self)
            log.info("this instance handles the group's events now", group=self._group)
        self._ready.set()

    def _lose(self) -> None:
        if self._ready.is_set():
            log.warning("another instance handles the group's events now", group=self._group)
        self._ready.clear()
        self._until = -math.inf
