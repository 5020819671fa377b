"""What becomes an incident, and when it is over: decided from events and a clock alone."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from charter_otel.charter import EXPECTED_CLOSE_REASONS, CloseReason, Event, EventType
from charter_otel.consumers.alerts.page import Page, Severity, resolve

FLEET = "charter/fleet"
"""Deduplication key of a fleet-wide disconnect."""
MAX_KEYS = 100_000
"""Jobs and robots whose failures are counted; beyond it the first one is forgotten."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on something is an incident; the defaults are those of the specification."""

    repeats: int = 3
    """So many failures within `repeat_window` make an incident critical."""
    repeat_window: float = 600.0
    """Seconds."""
    slow_job_ms: float = 5000.0
    short_connection: float = 60.0
    """Seconds."""
    fleet_robots: int = 10
    """So many robots lost within `fleet_window` are one incident."""
    fleet_window: float = 60.0
    """Seconds."""
    hold: float = 5.0
    """Seconds that a robot's page waits, in case it is one of many."""
    low_battery: float = 20.0
    """Percent."""
    high_cpu: float = 90.0
    """Percent."""


class Incidents:
    """Turns events into pages: one incident per job and per robot, escalated, and resolved.

    Args:
        limits: From where on something is an incident.
        open_keys: Keys of the incidents that are open already.
    """

    def __init__(
        self, limits: Limits | None = None, open_keys: frozenset[str] = frozenset()
    ) -> None:
        self.limits = limits or Limits()
        self._open: set[str] = set(open_keys)
        self._failures: dict[str, deque[float]] = {}
        self._lost: dict[str, float] = {}
        self._held: dict[str, tuple[float, Page]] = {}
        self._decide: dict[str, Callable[[Event, float], list[Page]]] = {
            EventType.METRICS_AGGREGATION_FAILED: self.handle_job_failure,
            EventType.METRICS_AGGREGATION_COMPLETED: self.handle_job_completion,
            EventType.TELEMETRY_CONNECTION_CLOSED: self.handle_connection_closed,
            EventType.TELEMETRY_CONNECTION_ESTABLISHED: self.handle_connection_established,
            EventType.TELEMETRY_METRICS_PUBLISHED: self.check_metric_thresholds,
        }

    def handle(self, event: Event, now: float) -> list[Page]:
        """Return the pages that an event leads to; ``now`` is in seconds of a monotonic clock."""
        decide = self._decide.get(event.type)
        return decide(event, now) if decide else []

    def due(self, now: float) -> list[Page]:
        """Return the pages of robots that have waited long enough."""
        due = [key for key, (since, _) in self._held.items() if now - since >= self.limits.hold]
        return [self._trigger(self._held.pop(key)[1]) for key in due]

    def handle_job_failure(self, event: Event, now: float) -> list[Page]:
        """Warn of a failed run; repeated failures make it critical."""
        payload = event.payload
        key = f"charter/job/{payload['job_id']}"
        repeats = self._count(key, now)
        again = f", {repeats} times" if repeats > 1 else ""
        summary = f"Job {payload['job_id']} failed{again}: {payload['error_type']}"
        return [self._trigger(_page(event, key, summary, self._severity(repeats)))]

    def handle_job_completion(self, event: Event, now: float) -> list[Page]:
        """Resolve what was failing; warn of a run that took too long."""
        del now
        payload = event.payload
        key = f"charter/job/{payload['job_id']}"
        self._failures.pop(key, None)
        pages = self._resolve(key)
        if payload["duration_ms"] > self.limits.slow_job_ms:
            summary = f"Job {payload['job_id']} is slow: {payload['duration_ms']:.0f} ms"
            return [*pages, self._trigger(_page(event, f"{key}/slow", summary))]
        return [*pages, *self._resolve(f"{key}/slow")]

    def handle_connection_closed(self, event: Event, now: float) -> list[Page]:
        """Warn of a robot that was lost, or that stayed for a short time only."""
        payload = event.payload
        reason, robot_id = payload.get("reason"), payload["robot_id"]
        if reason not in EXPECTED_CLOSE_REASONS:
            summary = f"Robot {robot_id} lost its connection: {reason or 'unknown'}"
            return self._robot_lost(event, summary, now)
        short = payload["duration_seconds"] < self.limits.short_connection
        if short and reason not in (CloseReason.SERVER_SHUTDOWN, CloseReason.SUPERSEDED):
            seconds = payload["duration_seconds"]
            summary = f"Robot {robot_id} disconnected after {seconds:.0f} s"
            self._hold(_page(event, _robot_key(event), summary), now)
        return []

    def handle_connection_established(self, event: Event, now: float) -> list[Page]:
        """Resolve a robot's incident, and the fleet's once few robots are missing."""
        key = _robot_key(event)
        self._held.pop(key, None)
        self._lost.pop(event.payload["robot_id"], None)
        self._forget(now)
        pages = self._resolve(key)
        if len(self._lost) < self.limits.fleet_robots:
            pages += self._resolve(FLEET)
        return pages

    def check_metric_thresholds(self, event: Event, now: float) -> list[Page]:
        """Warn of a low battery or a busy CPU; resolve when it is well again."""
        del now
        metrics, robot_id = event.payload["metrics"], event.payload["robot_id"]
        battery, cpu = metrics["battery_percentage"], metrics["cpu_usage"]
        key = _robot_key(event)
        return [
            *self._condition(
                event,
                f"{key}/battery",
                f"Robot {robot_id} battery at {battery}%",
                bad=battery < self.limits.low_battery,
            ),
            *self._condition(
                event,
                f"{key}/cpu",
                f"Robot {robot_id} CPU at {cpu}%",
                bad=cpu > self.limits.high_cpu,
            ),
        ]

    def _condition(self, event: Event, key: str, summary: str, *, bad: bool) -> list[Page]:
        if not bad:
            return self._resolve(key)
        return [] if key in self._open else [self._trigger(_page(event, key, summary))]

    def _robot_lost(self, event: Event, summary: str, now: float) -> list[Page]:
        key = _robot_key(event)
        repeats = self._count(key, now)
        self._lost[event.payload["robot_id"]] = now
        self._forget(now)
        if len(self._lost) >= self.limits.fleet_robots or FLEET in self._open:
            return self._fleet_lost(event)
        self._hold(_page(event, key, summary, self._severity(repeats)), now)
        return []

    def _fleet_lost(self, event: Event) -> list[Page]:
        self._held.clear()
        if FLEET in self._open:
            return []
        summary = f"{len(self._lost)} robots lost their connection at once"
        return [self._trigger(_page(event, FLEET, summary, "critical"))]

    def _forget(self, now: float) -> None:
        """Forget robots lost one by one; while the fleet's incident is open, none is forgotten."""
        if FLEET not in self._open:
            since = now - self.limits.fleet_window
            self._lost = {robot: lost for robot, lost in self._lost.items() if lost > since}

    def _hold(self, page: Page, now: float) -> None:
        if FLEET not in self._open:
            self._held[page.key] = (now, page)

    def _count(self, key: str, now: float) -> int:
        times = self._failures.setdefault(key, deque(maxlen=self.limits.repeats))
        times.append(now)
        if len(self._failures) > MAX_KEYS:
            del self._failures[next(iter(self._failures))]
        while times[0] <= now - self.limits.repeat_window:
            times.popleft()
        return len(times)

    def _severity(self, repeats: int) -> Severity:
        return "critical" if repeats >= self.limits.repeats else "warning"

    def _trigger(self, page: Page) -> Page:
        self._open.add(page.key)
        return page

    def _resolve(self, key: str) -> list[Page]:
        if key not in self._open:
            return []
        self._open.discard(key)
        return [resolve(key)]


def _robot_key(event: Event) -> str:
    return f"charter/robot/{event.payload['robot_id']}"


def _page(event: Event, key: str, summary: str, severity: Severity = "warning") -> Page:
    details: dict[str, Any] = {"event_id": event.id, "event_type": event.type, **event.payload}
    return Page(
        action="trigger",
        key=key,
        severity=severity,
        summary=summary,
        source=event.source,
        details=details,
        correlation_id=event.meta["correlation_id"],
    )
