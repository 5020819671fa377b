"""From which value and for how long something is an alert.

The specification's own numbers stand in `dashboards/limits.py`, shared with the panels; the others
are what a fleet of tens to thousands of robots and a job every 30 s need. Durations are in
Prometheus's notation.
"""

from dataclasses import dataclass

from dashboards import limits


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The thresholds; tests of the whole path take shorter durations."""

    interval: str = "15s"
    """How often the rules are evaluated."""
    service: str = "charter-otel"
    """``service.name`` of the service, by which its log lines are found."""
    collector_job: str = "otelcol-charter"
    """Prometheus's job that scrapes the Collector's own metrics."""

    job_failed_window: str = "5m"
    """A failed run is an alert for as long, then it resolves."""
    job_repeated_failures: int = 3
    """So many failed runs within `job_repeated_window` escalate."""
    job_repeated_window: str = "10m"
    job_missing_after_s: int = 300
    """Seconds without a successful run: ten intervals of 30 s."""
    job_missing_for: str = "2m"
    job_slow_s: float = limits.SLOW_JOB
    """Seconds; a boundary of the histogram."""
    job_slow_window: str = "5m"

    disconnects_window: str = "5m"
    short_connection_s: float = limits.SHORT_CONNECTION
    """Seconds; a boundary of the histogram."""
    flapping_changes: int = 6
    """Changes of presence within `flapping_window`: three times off and on."""
    flapping_window: str = "10m"
    fleet_robots: int = 5
    """A fleet-wide disconnect takes at least so many robots,"""
    fleet_share: float = 0.2
    """and at least this share of those that were online within `fleet_window`."""
    fleet_window: str = "10m"
    fleet_for: str = "30s"

    battery_low: float = limits.LOW_BATTERY
    battery_for: str = "1m"
    cpu_high: float = limits.HIGH_CPU
    cpu_for: str = "2m"
    reading_keep: str = "5m"
    """How long a reading stays an alert after it is well again, so that it does not flap."""

    dropped_window: str = "10m"
    unreachable_for: str = "1m"
    queue_full: float = 0.5
    """Share of the publishing queue's capacity."""
    queue_for: str = "1m"
    lag_events: int = 1000
    """Events that a subscriber has not acknowledged."""
    lag_for: str = "5m"
    collector_window: str = "5m"
    collector_queue: float = 0.2
    """Share of a sending queue's capacity."""
    collector_queue_for: str = "5m"
    collector_down_for: str = "2m"
