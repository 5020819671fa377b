"""A check of a Redis: settings that break a promise of the table of deliveries."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

OLDEST = (6, 2)
"""The first version that has every command."""

EXACTLY_ONCE = "exactly once in the stream"
AT_LEAST_ONCE = "at least once to subscribers"

Told = Mapping[str, Any]


class Finding(NamedTuple):
    """A setting that breaks a promise."""

    delivery_class: str
    """The promise, in the words of the table of deliveries."""
    because: str
    do: str


async def survey(client: Redis, replicas: int = 0) -> list[Finding]:
    """Return the settings that break a promise, as far as this user may read them.

    Args:
        client: The server to look at.
        replicas: How many replicas must have a published event.

    Raises:
        RedisError: Redis cannot be reached.
    """
    told: dict[str, Any] = {}
    with suppress(ResponseError):
        told |= cast("Told", await cast("Any", client).info())
    with suppress(ResponseError):
        told |= cast("Told", await cast("Any", client).config_get("appendfsync"))
    return [*_persistence(told), *_memory(told), *_replicas(told, replicas), *_version(told)]


def _persistence(told: Told) -> list[Finding]:
    if told.get("aof_enabled") == 0:
        because = "it keeps no append-only file: what was published is lost when it restarts"
        return [Finding(EXACTLY_ONCE, because, "set appendonly yes and appendfsync always")]
    fsync = told.get("appendfsync")
    if fsync not in (None, "always"):
        because = f"appendfsync is {fsync}: a machine that crashes loses what was published last"
        return [Finding(EXACTLY_ONCE, because, "set appendfsync always")]
    return []


def _memory(told: Told) -> list[Finding]:
    policy = told.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or not told.get("maxmemory"):
        return []
    because = f"maxmemory-policy is {policy}: it removes events, groups and leases when it is full"
    return [Finding(AT_LEAST_ONCE, because, "set maxmemory-policy noeviction")]


def _replicas(told: Told, wanted: int) -> list[Finding]:
    there = told.get("connected_slaves")
    if there is None or there >= wanted:
        return []
    because = f"replicas={wanted} is asked for and {there} are connected: nothing can be published"
    return [Finding(EXACTLY_ONCE, because, "start the replicas, or take replicas= out of the URL")]


def _version(told: Told) -> list[Finding]:
    numbers = re.match(r"(\d+)\.(\d+)", str(told.get("redis_version", "")))
    if numbers is None or tuple(map(int, numbers.groups())) >= OLDEST:
        return []
    because = f"it is version {numbers[0]}, and lacks commands"
    return [Finding(AT_LEAST_ONCE, because, "run Redis 6.2 or newer, or Valkey")]
