"""The Redis commands that the stream uses, with the types that they give here.

redis-py's own types cover both wire protocols and both kinds of text at once.
"""

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError

REPLY_LOST = (RedisConnectionError, RedisTimeoutError)
"""Errors after which it is unknown whether the server has run the command."""

RawEntry = tuple[bytes, dict[bytes, bytes]]
"""An entry's id and fields."""

Member = tuple[str, str]
"""A group and one of its consumers."""


async def ping(client: Redis) -> None:
    """Make sure that the server answers, connecting if needed."""
    await cast("Any", client).ping()


async def newest(client: Redis, key: str, count: int, *, end: bytes = b"+") -> list[RawEntry]:
    """Return the latest entries up to ``end``, newest first."""
    return cast("list[RawEntry]", await client.xrevrange(key, end, count=count))


async def last_id(client: Redis, key: str) -> bytes:
    """Return the id of the latest entry; every entry of an empty stream comes after it."""
    latest = await newest(client, key, 1)
    return latest[0][0] if latest else b"0-0"


async def oldest(client: Redis, key: str, count: int, *, start: str) -> list[RawEntry]:
    """Return the first entries from ``start`` on, oldest first."""
    return cast("list[RawEntry]", await client.xrange(key, start, count=count))


async def wait(client: Redis, key: str, last: bytes, count: int, block: int) -> list[RawEntry]:
    """Return entries after ``last``, waiting up to ``block`` milliseconds for one."""
    return _only(await client.xread({key: last}, count=count, block=block))


async def acknowledge(client: Redis, key: str, member: Member, done: Sequence[bytes]) -> None:
    """Acknowledge entries that a group has handled."""
    await client.xack(key, member[0], *done)


async def acknowledge_and_wait(
    client: Redis, key: str, member: Member, done: Sequence[bytes], *, count: int, block: int
) -> list[RawEntry]:
    """Acknowledge entries and read new ones in one round trip.

    Returns entries that are new to the group, waiting up to ``block`` milliseconds.
    """
    async with client.pipeline(transaction=False) as together:
        if done:
            together.xack(key, member[0], *done)
        together.xreadgroup(*member, {key: ">"}, count=count, block=block)
        *_, reply = await together.execute()
    return _only(reply)


async def groups(client: Redis, key: str) -> list[dict[str, Any]]:
    """Return what the server knows about a stream's groups."""
    found: list[dict[str, Any]] = await client.xinfo_groups(key)
    return found


async def last_delivered(client: Redis, key: str, group: str) -> bytes | None:
    """Return the last entry that was given to a group; None if this user may not ask."""
    try:
        found = await groups(client, key)
    except NoPermissionError:
        return None
    return next((g["last-delivered-id"] for g in found if g["name"] == group.encode()), None)


async def place_of(client: Redis, key: str, event_id: str) -> bytes | None:
    """Return the entry id that a hash holds for an event."""
    return cast("bytes | None", await cast("Any", client).hget(key, event_id))


async def keep(
    client: Redis, key: str, member: Member, ids: list[bytes], *, deliveries: int | None = None
) -> None:
    """Renew a claim on entries; their delivery count stays unless one is given."""
    await cast("Any", client).xclaim(key, *member, 0, ids, retrycount=deliveries, justid=True)


def _only(reply: Any) -> list[RawEntry]:
    return cast("list[RawEntry]", reply[0][1]) if reply else []
