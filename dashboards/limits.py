"""The specification's limits, in the units of the metrics; alerts use the same numbers."""

SLOW_JOB = 5.0
"""Seconds that a run takes at most."""
SHORT_CONNECTION = 60
"""Seconds; a connection that lasts less is worth a look."""
LOW_BATTERY = 0.2
"""Charge below which a robot needs its dock."""
HIGH_CPU = 0.9
"""CPU utilization above which a robot is overloaded."""
FRESH = 10.0
"""Seconds from an event to the panel that shows it, at most."""
