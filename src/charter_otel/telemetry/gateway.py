"""The robots' gateway: the state that the handlers, the sweeper and the gauges share."""

from dataclasses import dataclass, field

from charter_otel.telemetry.cluster.local import LocalPresence
from charter_otel.telemetry.connections import Connections
from charter_otel.telemetry.fleet import Fleet
from charter_otel.telemetry.handshakes import HandshakeRate
from charter_otel.telemetry.labels import AllowedLabels
from charter_otel.telemetry.retry_after import Herd

MAX_HANDSHAKES_PER_SECOND = 2_000
"""About the capacity of one core, so that a fleet behind one address may come back all at once."""


@dataclass(frozen=True)
class Limits:
    """The limits of the service for a robot."""

    max_frame_bytes: int = 65_536
    max_frames_per_second: int = 50
    """Also the burst that an idle robot may send at once."""
    max_readings_per_second: int = 30_000
    """Likewise for the readings of lists, of which each is one frame."""
    max_connections: int = 20_000
    heartbeat_timeout: float = 60.0
    """Seconds without any frame."""
    max_bad_frames: int = 10
    """Bad frames in a row that close the connection."""


@dataclass
class Gateway:
    """The open connections, the known robots and the limits of one instance."""

    limits: Limits = field(default_factory=Limits)
    metrics_published: bool = True
    """Whether reading a robot's metrics emits ``telemetry.metrics_published``."""
    checkpoint_interval: float = 300.0
    """Seconds between two checkpoint spans of a connection."""
    connections: Connections = field(default_factory=Connections)
    fleet: Fleet = field(default_factory=Fleet)
    handshakes: HandshakeRate = field(
        default_factory=lambda: HandshakeRate(MAX_HANDSHAKES_PER_SECOND)
    )
    """The handshakes that each address may still request."""
    allowed_origins: frozenset[str] = frozenset()
    """Origins whose pages may connect, beside the service's own."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Secrets that robots' tokens may be signed with; without any, robots need no token."""
    labels: AllowedLabels = field(default_factory=AllowedLabels)
    """Labels that robots may bring."""
    closing: bool = False
    """Set when the service stops: no new connections."""
    herd: Herd = field(default_factory=Herd)
    """Robots that were refused and will come back."""
    released: float = 0.0
    """Robots that the service releases in a second while it stops."""
    instances: LocalPresence = field(init=False)
    """The other instances; none, until the service knows of some."""

    def __post_init__(self) -> None:
        self.instances = LocalPresence(self.fleet)
