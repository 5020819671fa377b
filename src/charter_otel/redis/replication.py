"""Writes that count only when replicas have them, so that a fail-over loses none."""

from typing import Any

from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

_WITHIN_MS = 500
"""Milliseconds that replicas have to answer; well below the socket's timeout."""


class NotReplicated(RedisError):  # noqa: N818 - the name says what happened
    """The master has accepted a write that too few replicas have; it may still be lost."""


async def execute(pipeline: Pipeline, replicas: int) -> list[Any]:
    """Execute a pipeline, wait until replicas have its writes, and return the replies.

    Raises:
        NotReplicated: Too few replicas have them in time.
        RedisError: A command failed.
    """
    # On the same connection: WAIT knows the writes of its own connection only.
    pipeline.execute_command("WAIT", replicas, _WITHIN_MS)
    replies: list[Any]
    *replies, confirmed = await pipeline.execute()
    if confirmed < replicas:
        raise NotReplicated(f"{confirmed} of {replicas} replicas have what was written")
    return replies
