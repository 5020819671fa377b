"""The tables of `make scale`, in Markdown."""

from scale import fleet
from scale.costs import Costs

NAMES = {
    "frame": "a reading that is acknowledged, of an instance",
    "connection": "a connection that comes and goes, of an instance",
    "open": "a second of an open connection, of an instance",
    "memory": "an open connection, of an instance",
    "redis_frame": "a reading that is shared, of Redis",
    "redis_connection": "a connection that comes and goes, of Redis",
    "gateway_connection": "a connection that comes and goes, of a gateway Collector",
    "gateway_open": "a second of an open connection, of a gateway Collector",
    "gateway_instance": "a second of an idle instance, of a gateway Collector",
}


def costs_table(costs: Costs) -> list[str]:
    """Return the lines of the table of what things cost."""
    rows = [
        f"| {NAMES[name]} | {cost:g} {'KiB' if name == 'memory' else 'µs'} |"
        for name, cost in costs._asdict().items()
    ]
    return ["| one of these | costs |", "|---|---|", *rows]


def fleets_table(costs: Costs) -> list[str]:
    """Return the lines of the table of what fleets take."""
    rows = [
        f"| {n.robots:,} | {n.instances} | {n.redis} | {n.gateways} | {n.first} |"
        for n in (fleet.need(robots, costs) for robots in fleet.FLEETS)
    ]
    head = "| robots | instances | Redis shards | gateway Collectors | gives first |"
    return [head, "|---|---|---|---|---|", *rows]
