"""The locks that decide which instance runs a slot: every one, or the first of several."""

from abc import ABC, abstractmethod
from secrets import token_hex

from redis.asyncio import Redis

from charter_otel.redis.commands import REPLY_LOST


class SlotLock(ABC):
    """A lock on each slot of a job, held by one instance and never given back."""

    @abstractmethod
    async def acquire(self, job_id: str, slot: int, interval: float) -> bool:
        """Return whether this instance is the first to ask for the slot.

        Any error of a connection may pass through. The schedule then runs the slot, because a lock
        that fails must not stop the job.
        """

    async def now(self) -> float | None:
        """Return Unix seconds of the clock that all instances share, or None for one's own.

        Any error of a connection may pass through.
        """
        return None

    async def aclose(self) -> None:
        """Release the resources of the lock."""
        return


class NoLock(SlotLock):
    """For a single instance: every slot is its own."""

    async def acquire(self, job_id: str, slot: int, interval: float) -> bool:
        """Return True."""
        del job_id, slot, interval
        return True


class RedisSlotLock(SlotLock):
    """For instances that share a Redis: ``SET <prefix>:jobs:<job>:<slot> NX PX``.

    At most once: an instance that dies in its run loses the slot, and the next slot goes on from
    the stored cursor. Slots follow Redis's clock, so an instance's own clock does not matter.
    After a lost reply the lock asks once more: the key shows whose the slot is.

    Args:
        client: A client; `aclose` closes it.
        prefix: The prefix of keys. Its braces keep them in one slot of a cluster.
    """

    KEPT_SECONDS = 60.0
    """Seconds for which a slot stays taken beyond two intervals."""

    def __init__(self, client: Redis, *, prefix: str = "{charter}") -> None:
        self._client = client
        self._prefix = prefix

    async def acquire(self, job_id: str, slot: int, interval: float) -> bool:
        """Take the slot unless another instance has."""
        kept = round((2 * interval + self.KEPT_SECONDS) * 1000)
        key, holder = f"{self._prefix}:jobs:{job_id}:{slot}", token_hex(8).encode()
        try:
            return await self._take(key, holder, kept)
        except REPLY_LOST:
            return await self._take(key, holder, kept)

    async def now(self) -> float:
        """Return the time of Redis's clock."""
        seconds, microseconds = await self._client.time()
        return float(seconds + microseconds / 1e6)

    async def _take(self, key: str, holder: bytes, kept: int) -> bool:
        if await self._client.set(key, holder, nx=True, px=kept):
            return True
        return bool(await self._client.get(key) == holder)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()
