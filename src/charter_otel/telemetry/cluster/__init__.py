"""The instances of the service as one: presence, takeover, and what a dead one leaves behind.

Nothing here is on the path of a robot's frames, and no robot waits for Redis: one task for each
instance does the sharing, in batches. Without Redis each instance knows its own robots, and the
rest is caught up with afterwards.
"""

from charter_otel.telemetry.cluster.local import LocalPresence
from charter_otel.telemetry.cluster.partitioned import Partition, PartitionedPresence
from charter_otel.telemetry.cluster.reaper import CloseLost
from charter_otel.telemetry.cluster.shared import LEASE, SharedPresence

__all__ = [
    "LEASE",
    "CloseLost",
    "LocalPresence",
    "Partition",
    "PartitionedPresence",
    "SharedPresence",
]
