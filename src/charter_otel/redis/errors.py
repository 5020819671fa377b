"""The errors of a Redis, and how they are explained."""

from redis.exceptions import MovedError, RedisError

from charter_otel.aio import describe

FAILURES = (RedisError, OSError, TimeoutError)
"""Errors that a command raises if Redis is unreachable or refuses."""


def explain(error: BaseException) -> str:
    """Return why Redis could not be used, and what to do if that is known."""
    if isinstance(error, MovedError):
        return f"{describe(error)}: this is a node of a cluster, write redis+cluster:// in the URL"
    return describe(error)
