"""From which value and for how long something is an alert.

The numbers that the service knows too are its own (`dashboards/limits.py`); the others are what a
fleet of tens to thousands of robots and a job every 30 s need. Durations are in Prometheus's
notation.
"""

from dataclasses import dataclass

from dashboards import limits


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The thresholds; tests of the whole path take shorter durations."""

    interval: str = "15s"
    """Interval in which the rules are evaluated."""
    service: str = "charter-otel"
    """``service.name`` of the service, by which its log lines are found."""
    collector_job: str = "otelcol-charter"
    """Prometheus's job that scrapes the Collector's own metrics."""

    service_interval: str = "5s"
    """Interval of the rules of the service itself: it counts as down within a minute."""
    service_for: str = "10s"
    service_absent_s: int = 120
    """Seconds without any heartbeat, although nobody was killed: time for a deployment."""
    service_memory: str = "6h"
    """For how long a service that is gone is missed by its name."""
    aftermath: str = "10m"
    """Time for which alerts that follow from an outage are held back after it,"""
    prelude: str = "2m"
    """and how long after a stream was only about to be unreachable."""

    job_failed_window: str = "5m"
    """A failed run is an alert for as long, then it resolves."""
    job_repeated_failures: int = limits.SET.job_failures
    """So many failed runs within `job_repeated_window` escalate."""
    job_repeated_window: str = f"{limits.SET.job_failures_window:g}s"
    job_missing_after_s: int = 300
    """Seconds without a successful run: ten intervals of 30 s."""
    job_missing_for: str = "2m"
    job_slow_s: float = limits.SLOW_JOB
    """Seconds; a boundary of the histogram."""
    job_slow_window: str = "5m"

    disconnects_window: str = "5m"
    short_connection_s: float = limits.SHORT_CONNECTION
    """Seconds; a boundary of the histogram."""
    flapping_window: str = "10m"
    """Time in which a page about flapping looks for the robots that came and went most often."""
    fleet_robots: int = limits.SET.fleet_robots
    """A fleet-wide loss takes at least so many robots,"""
    fleet_share: float = limits.SET.fleet_share
    """and at least this share of those that were connected."""
    fleet_window: str = "2m"
    """The consumer's window of a minute, and the time until all of it is in Prometheus."""
    fleet_for: str = "0s"
    fleet_keep: str = "2m"
    """Time for which it goes on after few are missing, so that it does not come and go."""
    site_share: float = 0.5
    """A site is lost where at least this share of its robots is."""
    omitted_for: str = "5m"

    battery_low: float = limits.LOW_BATTERY
    battery_recovered: float = limits.BATTERY_RECOVERED
    battery_for: str = "1m"
    cpu_high: float = limits.HIGH_CPU
    cpu_recovered: float = limits.CPU_RECOVERED
    cpu_for: str = "2m"
    reading_keep: str = "5m"
    """Time for which a reading stays an alert after it is well again, so that it does not flap."""

    dropped_window: str = "10m"
    unreachable_for: str = "1m"
    queue_full: float = 0.5
    """Share of the publishing queue's capacity."""
    queue_for: str = "1m"
    lag_events: int = 1000
    """Events that a subscriber has not acknowledged,"""
    lag_s: int = 120
    """and seconds since the oldest of them came: few events are late, too."""
    lag_for: str = "5m"
    burning_for: str = "2m"
    collector_window: str = "5m"
    collector_queue: float = 0.2
    """Share of a sending queue's capacity."""
    collector_queue_for: str = "5m"
    collector_down_for: str = "2m"
