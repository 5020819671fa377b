"""Six quiet hours before the outage, so that the windows of the error budgets are full.

A service that has run for minutes only has spent a tenth of its budget with its first trouble.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from charter_otel.otel import semconv
from dashboards import external
from dashboards.promql import metric_name
from rules.servers import promtool

HOURS = 6
STEP = 15
_BEFORE = 'job="charter-otel",instance="before"'
_COUNTS = {
    metric_name(semconv.CHARTER_JOB_RUN_DURATION, "count"): 'charter_job_id="aggregate"',
    metric_name(
        semconv.CHARTER_HANDSHAKE_DURATION, "count"
    ): 'charter_handshake_outcome="accepted"',
    metric_name(semconv.CHARTER_SUBSCRIBER_CRITICAL_TIME, "count"): "",
    metric_name(
        semconv.CHARTER_HANDSHAKE_DURATION, "bucket"
    ): 'charter_handshake_outcome="accepted",le="1.0"',
    metric_name(semconv.CHARTER_SUBSCRIBER_CRITICAL_TIME, "bucket"): 'le="5.0"',
}
"""Counters of the objectives, of an instance that ran until now: one good event in 30 s."""


def write(tsdb: Path, directory: Path) -> None:
    """Write the hours into a database of Prometheus that has not been started."""
    text = directory / "history.txt"
    now = int(time.time()) - STEP
    text.write_text("\n".join(_lines(now - HOURS * 3600, now)) + "\n# EOF\n")
    promtool("tsdb", "create-blocks-from", "openmetrics", str(text), str(tsdb))


def _lines(begin: int, end: int) -> Iterator[str]:
    for name, labels in _COUNTS.items():
        series = f"{name}{{{','.join(filter(None, (_BEFORE, labels)))}}}"
        yield from (f"{series} {(at - begin) / 30:g} {at}" for at in range(begin, end, STEP))
    available = f'{metric_name(external.AVAILABILITY)}{{job="charter-otel",instance="all"}}'
    yield from (f"{available} 1 {at}" for at in range(begin, end, STEP))
