"""The stream in Redis or Valkey."""

from charter_otel.streams.redis.stream import RedisStream

__all__ = ["RedisStream"]
