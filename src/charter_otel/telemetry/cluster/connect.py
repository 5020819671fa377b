"""From the event stream's URL to the other instances."""

from charter_otel.redis.address import parse_address
from charter_otel.redis.slots import prefixes
from charter_otel.telemetry.cluster.local import LocalPresence
from charter_otel.telemetry.cluster.partitioned import Partition, PartitionedPresence
from charter_otel.telemetry.cluster.reaper import CloseLost
from charter_otel.telemetry.cluster.shared import LEASE, SharedPresence
from charter_otel.telemetry.connections import Connections
from charter_otel.telemetry.fleet import Fleet


def connect_instances(
    url: str,
    fleet: Fleet,
    connections: Connections,
    close: CloseLost,
    *,
    lease: float = LEASE,
    partitions: int = 1,
) -> LocalPresence:
    """Return what joins the instances that share an event stream; it connects when started.

    Args:
        url: The event stream's: ``memory://``, ``none``, or a Redis URL.
        fleet: The robots of this instance.
        connections: Its open connections.
        close: Emits the closing event of a dead instance's connection.
        lease: Seconds for which an instance's sign of life is good.
        partitions: Parts of the event stream.

    Raises:
        ValueError: The URL is none of these; the text repeats nothing of it.
    """
    if url in {"memory://", "none"}:
        return LocalPresence(fleet)
    address = parse_address(url)

    def together(prefix: str, held: Connections) -> SharedPresence:
        client = address.client(prefix)
        return SharedPresence(client, fleet, held, close, lease=lease, prefix=prefix)

    whole, *more = prefixes(partitions)
    if not more:
        return together(whole, connections)
    parts = []
    for prefix in (whole, *more):
        held = Connections()
        parts.append(Partition(held, together(prefix, held)))
    return PartitionedPresence(fleet, parts)
