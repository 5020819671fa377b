"""The instances of the service as one: presence, takeover, and the orphans of dead instances.

Nothing here is on the path of a robot's frames, and no robot waits for Redis: one task for each
instance does the sharing, in batches. Without Redis each instance knows only its own robots, and
catches up afterwards.
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
