"""The counts of a fleet, and their result."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

_LATENCIES_KEPT = 200_000


class Latency(Struct, frozen=True):
    """Round trips, in milliseconds."""

    p50: float
    p90: float
    p99: float
    max: float


class Result(Struct, frozen=True, kw_only=True):
    """The result of a fleet."""

    robots: int
    connected: int
    """Robots that connected at least once."""
    reconnections: int
    """Connections beyond a robot's first."""
    frames_sent: int
    frames_acknowledged: int | None
    """None if no acknowledgements were asked for."""
    missions_posted: int
    errors: int
    errors_by_kind: dict[str, int]
    latency_ms: Latency | None
    """From a frame to its acknowledgement, or from ping to pong; None without a round trip."""
    seconds: float


@dataclass
class FleetStats:
    """The counts that the robots of one fleet share."""

    connected: set[str] = field(default_factory=set)
    connections: int = 0
    open: int = 0
    sent: int = 0
    acknowledged: int = 0
    bad_frames_answered: int = 0
    """Bad frames, sent on purpose, that the service answered with an error."""
    missions: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    first_error: str | None = None
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))
    """Seconds of the latest round trips."""

    def opened(self, robot_id: str) -> None:
        """Count a connection."""
        self.connections += 1
        self.open += 1
        self.connected.add(robot_id)

    def describe_errors(self) -> str:
        """Return the number of errors, and their kinds."""
        return in_kinds(self.errors)

    def failed(self, kind: str, detail: object = "") -> None:
        """Count an error; the first one's text is kept."""
        self.errors[kind] += 1
        self.first_error = self.first_error or f"{kind}: {detail}".removesuffix(": ")

    def result(self, *, robots: int, acknowledge: bool, seconds: float) -> Result:
        """Return the result."""
        return Result(
            robots=robots,
            connected=len(self.connected),
            reconnections=self.connections - len(self.connected),
            frames_sent=self.sent,
            frames_acknowledged=self.acknowledged if acknowledge else None,
            missions_posted=self.missions,
            errors=self.errors.total(),
            errors_by_kind=dict(self.errors),
            latency_ms=_latency(sorted(self.latencies)),
            seconds=round(seconds, 3),
        )


def refused(status: int) -> str:
    """Return the kind of error for a refused handshake."""
    return f"refused: HTTP {int(status)}"


def in_kinds(errors: Mapping[str, int]) -> str:
    """Return errors in words: the total, and the number of each kind, the most frequent first."""
    kinds = sorted(errors.items(), key=lambda error: (-error[1], error[0]))
    total = f"{sum(errors.values())} errors"
    return f"{total} ({', '.join(f'{n} {kind}' for kind, n in kinds)})" if kinds else total


def in_words(result: Result) -> str:
    """Return the result as a line for a person."""
    acknowledged = result.frames_acknowledged
    parts = [
        f"{result.connected} of {result.robots} robots connected",
        f"{result.frames_sent} frames sent",
        f"{'no' if acknowledged is None else acknowledged} acknowledgements",
        in_kinds(result.errors_by_kind),
    ]
    if result.reconnections:
        parts.append(f"{result.reconnections} reconnections")
    if result.missions_posted:
        parts.append(f"{result.missions_posted} missions")
    if (latency := result.latency_ms) is not None:
        parts.append(f"latency p50 {latency.p50} ms, p90 {latency.p90} ms, p99 {latency.p99} ms")
    return ", ".join(parts)


def _latency(ordered: list[float]) -> Latency | None:
    if not ordered:
        return None

    def percentile(share: float) -> float:
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1_000, 3)

    return Latency(percentile(0.5), percentile(0.9), percentile(0.99), percentile(1.0))
