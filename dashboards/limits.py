"""From where on something is wrong, in the units of the metrics; rules and panels share it.

The numbers are the service's own (`charter_otel.thresholds`): whoever sets `CHARTER_THRESHOLDS` for
the service runs `make generate` with the same variable.
"""

import os

from charter_otel import thresholds

SET = thresholds.from_environment(os.environ)
"""The thresholds as the service has them, in the payloads' units."""

SLOW_JOB = SET.slow_job
"""Seconds that a run takes at most."""
SHORT_CONNECTION = SET.short_connection
"""Seconds; a connection that lasts less is worth a look."""
LOW_BATTERY = SET.battery_low / 100
"""Charge below which a robot needs its dock."""
BATTERY_RECOVERED = SET.battery_recovered / 100
"""Charge from which on it is well again."""
HIGH_CPU = SET.cpu_high / 100
"""CPU utilization above which a robot is overloaded."""
CPU_RECOVERED = SET.cpu_recovered / 100
"""CPU utilization up to which it is well again."""
SILENCE = SET.silence
"""Seconds that an instance may be late with its heartbeat, beyond three intervals."""
FRESH = 10.0
"""Seconds from an event to the panel that shows it, at most."""
HANDSHAKE_IN_TIME = 1.0
"""Seconds that a handshake takes at most; a boundary of the histogram."""
EVENT_IN_TIME = 5.0
"""Seconds from an event to its end at a subscriber, at most; a boundary of the histogram."""
