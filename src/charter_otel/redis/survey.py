"""A check of a Redis: settings that break a promise of the README's table of guarantees."""

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

Info = Mapping[str, Any]


class Finding(NamedTuple):
    """A setting that breaks a promise."""

    delivery_class: str
    """The promise, in the words of the table of guarantees."""
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
    info: dict[str, Any] = {}
    with suppress(ResponseError):
        info |= cast("Info", await cast("Any", client).info())
    with suppress(ResponseError):
        info |= cast("Info", await cast("Any", client).config_get("appendfsync"))
    return [*_persistence(info), *_memory(info), *_replicas(info, replicas), *_version(info)]


def _persistence(info: Info) -> list[Finding]:
    if info.get("aof_enabled") == 0:
        because = "it keeps no append-only file: what was published is lost when it restarts"
        return [Finding(EXACTLY_ONCE, because, "set appendonly yes and appendfsync always")]
    fsync = info.get("appendfsync")
    if fsync not in (None, "always"):
        because = f"appendfsync is {fsync}: a machine that crashes loses what was published last"
        return [Finding(EXACTLY_ONCE, because, "set appendfsync always")]
    return []


def _memory(info: Info) -> list[Finding]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or not info.get("maxmemory"):
        return []
    because = f"maxmemory-policy is {policy}: it removes events, groups and leases when it is full"
    return [Finding(AT_LEAST_ONCE, because, "set maxmemory-policy noeviction")]


def _replicas(info: Info, wanted: int) -> list[Finding]:
    there = info.get("connected_slaves")
    if there is None or there >= wanted:
        return []
    because = f"replicas={wanted} is asked for and {there} are connected: nothing can be published"
    return [Finding(EXACTLY_ONCE, because, "start the replicas, or take replicas= out of the URL")]


def _version(info: Info) -> list[Finding]:
    numbers = re.match(r"(\d+)\.(\d+)", str(info.get("redis_version", "")))
    if numbers is None or tuple(map(int, numbers.groups())) >= OLDEST:
        return []
    because = f"it is version {numbers[0]}, and lacks commands"
    return [Finding(AT_LEAST_ONCE, because, "run Redis 6.2 or newer, or Valkey")]
