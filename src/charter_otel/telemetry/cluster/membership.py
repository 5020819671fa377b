"""Membership: each instance's heartbeat, and how the others detect that it has ended."""

import asyncio
import contextlib
import math
import secrets
import time
from collections import deque
from typing import Any, Literal

from redis.asyncio import Redis

from charter_otel.redis.script import Script
from charter_otel.telemetry.cluster.keys import ClusterKeys

REMEMBERED = 86_400
"""Seconds for which a lost instance, and each connection closed for it, is remembered."""

_HEARTBEATS_PER_LEASE = 3
_ROUND_TRIPS = 10
_LOST_AFTER_LEASES = 1.5

Renewal = Literal["renewed", "joined", "lost"]


class Membership:
    """This instance's lease, and its view of the others' leases.

    Liveness compares no two clocks; `on_common_clock` only orders events. An instance counts its
    heartbeats. Another one that has seen the count stand still for one and a half leases declares
    it lost. The instance itself takes its lease to be over after one. An observer that could not
    watch meanwhile, because it slept or Redis was away, starts to watch again.

             a heartbeat that Redis accepted: renewed, or joined
        ┌──────────────────────────────┬──────────────────────────┐
        ▼   its length has passed      │    an attempt failed     │
      VALID ─────────────────────▶ IN DOUBT ──────────────────▶ NEITHER
                                        or "lost": a new name

    Only attempts that began after the lease was over count. Where it is lost, the others close the
    connections of the instance's former name.

    Args:
        client: A client that gives bytes.
        layout: The keys.
        lease: Seconds for which a heartbeat is valid.
    """

    def __init__(self, client: Redis, layout: ClusterKeys, lease: float) -> None:
        self.id = _new_id()
        """The instance's name, until the others declare that name lost."""
        self.lease = lease
        self.interval = lease / _HEARTBEATS_PER_LEASE
        """Seconds between two heartbeats."""
        self._layout = layout
        self._client: Any = client
        self._renew = Script(__package__, "renew")
        self._declare = Script(__package__, "declare")
        self._renewed = -math.inf
        """The start of the last heartbeat that Redis accepted."""
        self._tried = -math.inf
        """The start of the last heartbeat that has finished."""
        self._trial = asyncio.Event()
        """Set when the next or current renewal has finished."""
        self._clocks: deque[tuple[float, float]] = deque(maxlen=_ROUND_TRIPS)
        """Of the latest round trips: seconds, and Redis's time minus the monotonic time."""
        self._server = b""
        """The run of the server that accepted the last heartbeat."""
        self._former: set[str] = set()
        """Names under which this instance was declared lost."""
        self._seen: dict[str, tuple[bytes, float]] = {}
        """Of each other instance: its count of heartbeats, and since when it has stood still."""

    @property
    def server(self) -> bytes:
        """The run of the server whose clock `on_common_clock` uses; empty before a heartbeat."""
        return self._server

    @property
    def due(self) -> bool:
        """Whether it is time for a heartbeat."""
        return time.monotonic() - self._renewed >= self.interval

    @property
    def others(self) -> int:
        """Number of other instances that had a lease at the last heartbeat."""
        return len(self._seen)

    @property
    def valid(self) -> bool:
        """Whether no other instance can have declared this one lost."""
        return time.monotonic() < self._renewed + self.lease

    @property
    def in_doubt(self) -> bool:
        """Whether the lease is over and no renewal begun since has finished."""
        over = self._renewed + self.lease
        return over <= time.monotonic() and self._tried < over

    async def settled(self, within: float) -> None:
        """Wait while the lease is in doubt, for ``within`` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.in_doubt:
                    await self._trial.wait()

    def is_lost(self, owner: str) -> bool:
        """Return whether this instance had the name and was declared lost under it."""
        return owner in self._former

    async def renew(self) -> Renewal:
        """Send a heartbeat; an instance that was declared lost gets a new name.

        The instance has joined if Redis did not know its name, or if a restart or a fail-over came
        between: the server may lack the last writes.
        """
        begun, gap = time.monotonic(), time.monotonic() - self._renewed
        try:
            state, *reply = await self._renew(
                self._client, [self._layout.instances, self._layout.lost], self.id
            )
        finally:
            # An answer that waited for this instance to wake up dates from before its sleep.
            self._tried = begun
            self._trial.set()
            self._trial = asyncio.Event()
        if state == b"lost":
            self._former.add(self.id)
            self.id = _new_id()
            self._renewed = -math.inf
            return "lost"
        self._renewed = begun
        before, self._server = self._server, reply[0]
        if before != self._server:
            # Another server has another clock: later times of accepts are compared by that one.
            self._clocks.clear()
        self._compare_clocks(float(reply[1]), begun)
        self._watch(reply[2:], anew=gap > 2 * self.interval)
        return "renewed" if state == b"renewed" and before == self._server else "joined"

    def on_common_clock(self, moment: float) -> float:
        """Return a moment of this process's monotonic clock as Unix seconds of Redis's clock."""
        _, apart = min(self._clocks, default=(0.0, time.time() - time.monotonic()))
        return moment + apart

    async def declare_lost(self) -> int:
        """Declare lost the instances without a heartbeat for too long; return how many it tried."""
        limit = time.monotonic() - self.lease * _LOST_AFTER_LEASES
        silent = [(name, beats) for name, (beats, at) in self._seen.items() if at <= limit]
        keys = [self._layout.instances, self._layout.lost, self._layout.closed]
        for name, beats in silent:
            del self._seen[name]
            await self._declare(self._client, keys, name, beats, REMEMBERED)
        return len(silent)

    async def leave(self) -> None:
        """Report that this instance ends in an orderly way."""
        await self._client.hdel(self._layout.instances, self.id)

    def _compare_clocks(self, there: float, begun: float) -> None:
        """Estimate how far apart the clocks are; the shortest round trip shows it best."""
        ended = time.monotonic()
        self._clocks.append((ended - begun, there - (begun + ended) / 2))

    def _watch(self, others: list[bytes], *, anew: bool) -> None:
        now = time.monotonic()
        known = {} if anew else self._seen
        self._seen = {
            name: known[name] if known.get(name, (b"",))[0] == beats else (beats, now)
            for name, beats in zip((o.decode() for o in others[::2]), others[1::2], strict=True)
            if name != self.id
        }


def _new_id() -> str:
    return secrets.token_hex(8)
