"""Who runs a slot: everybody, or the first of several instances."""

from abc import ABC, abstractmethod
from secrets import token_hex

from redis.asyncio import Redis

from charter_otel.redis.commands import REPLY_LOST


class SlotLock(ABC):
    """Gives each slot of a job to one instance, for good: a slot is never given back."""

    @abstractmethod
    async def acquire(self, job_id: str, slot: int, interval: float) -> bool:
        """Return whether this instance is the first to ask for the slot.

        May raise whatever a connection raises; the schedule runs the slot then, because a lock
        that fails must not silence the job.
        """

    async def now(self) -> float | None:
        """Return Unix seconds of the clock that all instances share, or None for one's own.

        May raise whatever a connection raises.
        """
        return None

    async def aclose(self) -> None:
        """Release what the lock holds."""
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
    the stored cursor. Slots are those of Redis's clock, so no instance's own clock has a say.
    A lost reply is asked for once more: an instance that slept meanwhile finds whose the slot is.

    Args:
        client: A client; `aclose` closes it.
        prefix: What keys start with. Its braces keep them in one slot of a cluster.
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
        """Return what Redis's clock shows."""
        seconds, microseconds = await self._client.time()
        return float(seconds) + microseconds / 1e6

    async def _take(self, key: str, holder: bytes, kept: int) -> bool:
        if await self._client.set(key, holder, nx=True, px=kept):
            return True
        return bool(await self._client.get(key) == holder)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()
