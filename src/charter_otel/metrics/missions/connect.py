"""From the event stream's URL to the mission store beside it."""

from charter_otel.metrics.missions.base import MissionStore
from charter_otel.metrics.missions.memory import MemoryMissions
from charter_otel.metrics.missions.redis import RedisMissions
from charter_otel.redis.address import parse_address


def connect_missions(url: str, *, prefix: str = "{charter}") -> MissionStore:
    """Return the mission store that lives beside the event stream; it connects when first used.

    Args:
        url: The event stream's: ``memory://``, ``none``, or a Redis URL.
        prefix: What keys in Redis start with.

    Raises:
        ValueError: The URL is none of these; the text repeats nothing of it.
    """
    if url in {"memory://", "none"}:
        return MemoryMissions()
    address = parse_address(url)
    return RedisMissions(address.client(prefix), prefix=prefix, replicas=address.replicas)
