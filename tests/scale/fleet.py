"""The resources that a fleet takes, computed from the costs of one instance."""

import math
from typing import NamedTuple

from charter_otel.otel.sdk.providers import ROBOT_SERIES
from charter_otel.telemetry.fleet import KNOWN_ROBOTS
from scale.costs import Costs

FLEETS = (10_000, 100_000, 1_000_000)
FRAMES = 1.0
"""Readings that a robot sends a second."""
MINUTES = 60.0
"""Minutes for which a robot stays connected."""
LOAD = 0.6
"""Share of a core that is planned for."""
CONNECTIONS = 20_000
"""Connections that an instance takes (CHARTER_MAX_CONNECTIONS)."""


class Need(NamedTuple):
    """The resources of a fleet."""

    robots: int
    instances: int
    """Of one core each."""
    redis: int
    """Redis servers, or masters of a cluster, of one core each; one for each partition."""
    gateways: int
    """Gateway Collectors of one core each."""
    first: str
    """The one with the least room left, which is exhausted first as the fleet grows."""


def need(robots: int, costs: Costs) -> Need:
    """Return what a fleet takes."""
    frames, coming = robots * FRAMES, robots / (MINUTES * 60)
    talking = frames * costs.frame + coming * costs.connection
    of_instances = {
        "an instance's core": _instances(robots, talking, costs.open),
        "an instance's connections": robots / CONNECTIONS,
    }
    instances = math.ceil(max(of_instances.values()))
    of_redis = {
        "a Redis core": _cores(frames * costs.redis_frame + coming * costs.redis_connection),
        "known robots of a Redis shard": robots / KNOWN_ROBOTS,
    }
    redis = math.ceil(max(of_redis.values()))
    exported = min(robots, instances * ROBOT_SERIES)
    telemetry = coming * costs.gateway_connection + exported * costs.gateway_open
    telemetry += instances * costs.gateway_instance
    of_gateways = {"a gateway's core": _cores(telemetry)}
    gateways = math.ceil(max(of_gateways.values()))
    kinds = ((of_instances, instances), (of_redis, redis), (of_gateways, gateways))
    used = {name: n / max(1, count) for amounts, count in kinds for name, n in amounts.items()}
    return Need(robots, instances, redis, gateways, max(used, key=used.__getitem__))


def _instances(robots: int, work: float, open_: float) -> float:
    """Return the instances for so much work; each exports so many robots' metrics at most."""
    for_all = _cores(work + robots * open_)
    if for_all * ROBOT_SERIES >= robots:
        return for_all
    return _cores(work) / (1 - _cores(ROBOT_SERIES * open_))


def _cores(microseconds: float) -> float:
    """Return the cores that so many microseconds of work a second take."""
    return microseconds / 1e6 / LOAD
