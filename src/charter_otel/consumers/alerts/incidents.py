"""Incidents and their ends, decided from events and a clock alone."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from charter_otel.charter import (
    EXPECTED_CLOSE_REASONS,
    CloseReason,
    Event,
    EventType,
    is_simulated,
)
from charter_otel.consumers.alerts.losses import Losses
from charter_otel.consumers.alerts.memory import MAX_KEYS, Failures, Memory
from charter_otel.consumers.alerts.page import Page, Severity, key_of, resolve
from charter_otel.thresholds import Thresholds

FLEET = key_of("fleet")
"""Deduplication key of a fleet-wide disconnect."""
FLAPPING = key_of("fleet", "flapping")
"""Deduplication key of many robots that flap at once."""
HOLD = 5.0
"""Seconds that a robot's page waits, in case it is one of many."""


class Incidents:
    """Turns events into pages: one incident per job and per robot, escalated, and resolved."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.thresholds = thresholds or Thresholds()
        self.changes = 0
        """Grows whenever the state that has to outlive the process changes."""
        self.learned = 0  # grows with each event that changes the memory
        self._open: set[str] = set()
        self._flapping_keys: dict[str, str] = {}
        """The key of each robot that flaps, computed once."""
        self._failures = Failures(self.thresholds)
        self._losses = Losses(self.thresholds)
        self._held: dict[str, tuple[float, Page]] = {}
        self._paged: dict[str, float] = {}
        """The robots that were paged for within the window, by key, and when."""
        self._simulated: set[str] = set()
        """Robots whose newest connection is that of a simulated robot."""
        self._decide: dict[str, Callable[[Event, float], list[Page]]] = {
            EventType.METRICS_AGGREGATION_FAILED: self.handle_job_failure,
            EventType.METRICS_AGGREGATION_COMPLETED: self.handle_job_completion,
            EventType.TELEMETRY_CONNECTION_CLOSED: self.handle_connection_closed,
            EventType.TELEMETRY_CONNECTION_ESTABLISHED: self.handle_connection_established,
            EventType.TELEMETRY_METRICS_PUBLISHED: self.check_metric_thresholds,
        }

    @property
    def open_keys(self) -> frozenset[str]:
        """Keys of the incidents that are open."""
        return frozenset(self._open)

    @property
    def held(self) -> list[Page]:
        """Pages that wait in case they are one of many."""
        return [page for _, page in self._held.values()]

    def restore(
        self, keys: Iterable[str], held: Iterable[Page], memory: Memory, now: float
    ) -> None:
        """Begin with the incidents, pages and memory of an earlier process or holder."""
        self._open = set(keys)
        self._held = {page.key: (now, page) for page in held}
        self._losses.restore(memory, now)
        then = now - memory.elapsed()
        self._paged = {key: then - age for key, age in memory.paged.items()}
        self._failures.restore(memory.failures, then)

    def memory(self, now: float) -> Memory:
        """Return the memory that the next holder needs."""
        memory = Memory()
        self._losses.remember(memory, now)
        memory.failures = self._failures.ages(now)
        since = self._since(now)
        memory.paged = {key: now - at for key, at in self._paged.items() if at > since}
        return memory

    def handle(self, event: Event, now: float) -> list[Page]:
        """Return the pages that an event leads to; ``now`` is in seconds of a monotonic clock."""
        if event.type not in _FORGOTTEN:
            self.learned += 1
        decide = self._decide.get(event.type)
        return decide(event, now) if decide and not self._is_simulated(event) else []

    def due(self, now: float) -> list[Page]:
        """Return held pages that waited long enough, and resolves that are due by time alone."""
        pages: list[Page] = []
        for key in [key for key, (since, _) in self._held.items() if now - since >= HOLD]:
            pages += self._robot_due(self._held.pop(key)[1], now)
            self.changes += 1
        if FLEET in self._open and self._losses.is_calm(now):
            pages += self._resolve(FLEET)
        return pages + self._steady(now)

    def handle_job_failure(self, event: Event, now: float) -> list[Page]:
        """Warn of a failed run; repeated failures make it critical."""
        payload = event.payload
        key = key_of("job", payload["job_id"])
        repeats = self._failures.count(key, now)
        again = f", {repeats} times" if repeats > 1 else ""
        summary = f"Job {payload['job_id']} failed{again}: {payload['error_type']}"
        return [self._trigger(_page(event, key, summary, "JobFailed", self._severity(repeats)))]

    def handle_job_completion(self, event: Event, now: float) -> list[Page]:
        """Resolve the job's failure; warn of a run that took too long."""
        del now
        payload = event.payload
        key = key_of("job", payload["job_id"])
        self._failures.forget(key)
        pages, slow = self._resolve(key), key_of("job", payload["job_id"], "slow")
        if payload["duration_ms"] > self.thresholds.slow_job * 1000:
            summary = f"Job {payload['job_id']} is slow: {payload['duration_ms']:.0f} ms"
            return [*pages, self._trigger(_page(event, slow, summary, "JobSlow"))]
        return [*pages, *self._resolve(slow)]

    def handle_connection_closed(self, event: Event, now: float) -> list[Page]:
        """Warn of a robot that was lost, that stayed for a short time only, or that flaps."""
        payload = event.payload
        reason, robot_id = payload.get("reason"), payload["robot_id"]
        if reason in _SERVICES_OWN:
            self._losses.left(robot_id)
            return []
        flaps = reason != CloseReason.SERVER_LOST and self._losses.flaps(robot_id, now)
        if reason not in EXPECTED_CLOSE_REASONS:
            return self._robot_lost(event, now, flaps=flaps)
        self._losses.left(robot_id)
        if flaps:
            return self._robot_flaps(event, now)
        seconds = payload["duration_seconds"]
        if seconds < self.thresholds.short_connection and reason != CloseReason.SUPERSEDED:
            summary = f"Robot {robot_id} disconnected after {seconds:.0f} s"
            self._hold(_page(event, _robot_key(event), summary, "RobotDisconnected"), now)
        return []

    def handle_connection_established(self, event: Event, now: float) -> list[Page]:
        """Resolve a robot's incident; the fleet's resolves when few robots have been missing."""
        del now
        key = _robot_key(event)
        self._drop_held(key)
        self._losses.back(event.payload["robot_id"])
        return self._resolve(key)

    def check_metric_thresholds(self, event: Event, now: float) -> list[Page]:
        """Warn of a low battery or a busy CPU; resolve only beyond the recovery threshold."""
        del now
        metrics, robot_id = event.payload["metrics"], event.payload["robot_id"]
        battery, cpu = metrics["battery_percentage"], metrics["cpu_usage"]
        limits = self.thresholds
        low, high = _robot_key(event, "battery"), _robot_key(event, "cpu")
        empty = limits.battery_recovered if low in self._open else limits.battery_low
        busy = limits.cpu_recovered if high in self._open else limits.cpu_high
        battery_page = _page(event, low, f"Robot {robot_id} battery at {battery}%", "LowBattery")
        cpu_page = _page(event, high, f"Robot {robot_id} CPU at {cpu}%", "HighCpu")
        return [
            *self._condition(battery_page, bad=battery < empty),
            *self._condition(cpu_page, bad=cpu > busy),
        ]

    def _is_simulated(self, event: Event) -> bool:
        """Return whether the event is about a simulated robot; its readings do not say so."""
        robot_id = event.payload.get("robot_id", "")
        connection_id = event.payload.get("connection_id")
        if connection_id is None:
            return robot_id in self._simulated
        if not is_simulated(connection_id):
            self._simulated.discard(robot_id)
        elif len(self._simulated) < MAX_KEYS:
            self._simulated.add(robot_id)
        return is_simulated(connection_id)

    def _condition(self, page: Page, *, bad: bool) -> list[Page]:
        if not bad:
            return self._resolve(page.key)
        return [] if page.key in self._open else [self._trigger(page)]

    def _robot_lost(self, event: Event, now: float, *, flaps: bool) -> list[Page]:
        key, payload = _robot_key(event), event.payload
        repeats = self._failures.count(key, now)
        self._losses.lost(payload["robot_id"], now)
        if self._losses.is_fleet_wide(at_once := self._losses.at_once(now)):
            return self._fleet_lost(_page(event, key, "", ""), at_once)
        if flaps:
            return self._robot_flaps(event, now)
        summary = f"Robot {payload['robot_id']} lost its connection: {payload.get('reason')}"
        page = _page(event, key, summary, "RobotDisconnected", self._severity(repeats))
        self._hold(page, now)
        return []

    def _robot_due(self, page: Page, now: float) -> list[Page]:
        """Page for a robot, or for the fleet if robots are lost one after the other."""
        self._paged = {key: at for key, at in self._paged.items() if at > self._since(now)}
        self._paged[page.key] = now
        if self._losses.is_fleet_wide(len(self._paged)):
            return self._fleet_lost(page, len(self._paged))
        return [self._trigger(page)]

    def _robot_flaps(self, event: Event, now: float) -> list[Page]:
        """Page once for a flapping robot; its single disconnects do not page meanwhile."""
        self._drop_held(_robot_key(event))
        key, many = _robot_key(event, "flapping"), len(self._losses.flapping(now))
        summary = f"Robot {event.payload['robot_id']} connects and disconnects again and again"
        if many >= self.thresholds.fleet_robots:
            key, summary = FLAPPING, f"{many} robots connect and disconnect again and again"
        if self._open & {key, FLEET, FLAPPING}:
            return []
        return [self._trigger(_page(event, key, summary, "RobotFlapping"))]

    def _fleet_lost(self, page: Page, robots: int) -> list[Page]:
        if self._held:
            self._held.clear()
            self.changes += 1
        if FLEET in self._open:
            return []
        summary = f"{robots} robots lost their connection at once"
        return [self._trigger(_as_fleet(page, summary))]

    def _steady(self, now: float) -> list[Page]:
        """Resolve the incidents of robots that do not flap any more."""
        flapping = self._losses.flapping(now)
        known = self._flapping_keys
        self._flapping_keys = {
            robot: known.get(robot) or key_of("robot", robot, "flapping") for robot in flapping
        }
        keys = {*self._flapping_keys.values(), *([FLAPPING] if flapping else [])}
        open_ = {key for key in self._open if key == FLAPPING or _is_flapping(key)}
        ended = sorted(open_ - keys)
        return [page for key in ended for page in self._resolve(key)]

    def _since(self, now: float) -> float:
        return now - self.thresholds.fleet_window

    def _hold(self, page: Page, now: float) -> None:
        if FLEET not in self._open:
            self._held[page.key] = (now, page)
            self.changes += 1

    def _drop_held(self, key: str) -> None:
        if self._held.pop(key, None) is not None:
            self.changes += 1

    def _severity(self, repeats: int) -> Severity:
        return "critical" if repeats >= self.thresholds.job_failures else "warning"

    def _trigger(self, page: Page) -> Page:
        self._open.add(page.key)
        self.changes += 1
        return page

    def _resolve(self, key: str) -> list[Page]:
        if key not in self._open:
            return []
        self._open.discard(key)
        self.changes += 1
        return [resolve(key)]


_FORGOTTEN = frozenset({EventType.TELEMETRY_METRICS_PUBLISHED})
"""Types of events that leave nothing in the memory."""
_SERVICES_OWN = frozenset({CloseReason.SERVER_SHUTDOWN, CloseReason.TOKEN_EXPIRED})
"""Close reasons that say nothing about the robot."""


def _as_fleet(page: Page, summary: str) -> Page:
    return replace(
        page, key=FLEET, summary=summary, runbook="FleetDisconnected", severity="critical"
    )


def _robot_key(event: Event, *condition: str) -> str:
    return key_of("robot", event.payload["robot_id"], *condition)


def _is_flapping(key: str) -> bool:
    return key.startswith("charter/robot/") and key.endswith("/flapping")


def _page(
    event: Event, key: str, summary: str, runbook: str, severity: Severity = "warning"
) -> Page:
    details: dict[str, Any] = {"event_id": event.id, "event_type": event.type, **event.payload}
    return Page(
        action="trigger",
        key=key,
        severity=severity,
        summary=summary,
        source=event.source,
        runbook=runbook,
        details=details,
        correlation_id=event.meta["correlation_id"],
    )
