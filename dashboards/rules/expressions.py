"""PromQL of alerts, from the registry's names."""

from charter_otel.charter import EXPECTED_CLOSE_REASONS
from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards import external, limits
from dashboards.promql import Part, label, matching, metric_name, seconds

JOB_ID = label(semconv.CHARTER_JOB_ID)
ROBOT_ID = label(semconv.CHARTER_ROBOT_ID)
REASON = label(semconv.CHARTER_CONNECTION_CLOSE_REASON)
ERROR = label(semconv.ERROR_TYPE)
GROUP = label(semconv.MESSAGING_CONSUMER_GROUP_NAME)
SYSTEM = label(semconv.MESSAGING_SYSTEM_NAME)
SINK = label(semconv.CHARTER_SINK)
ENTRY = label(semconv.CHARTER_ENTRY_KIND)
REFUSAL = label(semconv.CHARTER_REFUSAL_REASON)
DROP_REASON = label(semconv.CHARTER_DROP_REASON)
CONDITION = label(semconv.CHARTER_ROBOT_CONDITION)

EXPECTED = "|".join(sorted(EXPECTED_CLOSE_REASONS))
"""Close reasons that nobody needs to be woken for, as a regular expression."""

HEARTBEAT = metric_name(semconv.CHARTER_SERVICE_HEARTBEAT)
INTERVAL = metric_name(semconv.CHARTER_SERVICE_HEARTBEAT_INTERVAL)
UPTIME = metric_name(semconv.PROCESS_UPTIME)
COLLECTOR_UPTIME = metric_name(external.COLLECTOR_UPTIME)

GONE = metric_name(external.INSTANCES_GONE)

_EACH = "on (job, instance)"
REAL = matching(semconv.CHARTER_ROBOT_SIMULATED, "true", "!=")
"""Leaves out robots that said that they are simulated."""

_REMEMBERED = "1h"
"""Time in which to look back for a series whose instance does not report its uptime."""


def series(metric: Metric, *matchers: str, part: Part = "") -> str:
    """Return a selector of the metric's series, or of those of a histogram's part."""
    name = metric_name(metric, part)
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def grown(selector: str, window: str, by: str, uptime: str = UPTIME) -> str:
    """Return by how much counters grew within the window, summed by labels.

    ``increase`` does not see the first increment of a series, since there is no sample before it.
    So all that a process counted which is younger than the window is new, and so is a series that
    appears in an older one. A series that was only not seen is not: either the uptime, which comes
    the same way, was not seen then either, or the series itself was there before the gap.

    Args:
        selector: The counters.
        window: A duration in Prometheus's notation.
        by: The labels to keep.
        uptime: The metric that tells for how long an instance has run.
    """
    age, before = f"{seconds(window):g}", f"offset {window}"
    return (
        f"sum by ({by}) (\n"
        f"  {selector} and {_EACH} {uptime} < {age}\n"
        f"  or {selector} unless {selector} {before}\n"
        f"    unless {_EACH} ({uptime} >= {age} unless {uptime} {before})\n"
        f"    unless (last_over_time({selector}[{_REMEMBERED}] {before}) unless {_EACH} {uptime})\n"
        f"  or increase({selector}[{window}])\n"
        f")"
    )


def living(selector: str) -> str:
    """Return the selector's series, but those of instances that are gone.

    The Collector repeats the last values of a dead instance for minutes.
    """
    return f"{selector} unless {_EACH} {GONE}"


def gone() -> str:
    """Return the instances that died, hang, or have stopped, with how late they are.

    An instance whose clock is wrong is late for ever; it is not gone while its heartbeat moves.
    """
    late = f"time() - {HEARTBEAT} - 3 * {INTERVAL} >= {limits.SILENCE:g}"
    moves = f"{HEARTBEAT} > 0 and changes({HEARTBEAT}[16s]) > 0"
    return f"{late} unless {_EACH} ({moves})"


def silent() -> str:
    """Return the instances that stopped to speak and did not say that they would."""
    return f"({HEARTBEAT} > 0 and {_EACH} {GONE})"


def unexpected_closes(window: str, by: str) -> str:
    """Return the number of connections that ended unexpectedly."""
    closes = series(
        semconv.CHARTER_CONNECTION_DURATION, f'{REASON}!~"{EXPECTED}"', REAL, part="count"
    )
    return grown(closes, window, by)


def robots_in(condition: str, by: str = "job") -> str:
    """Return how many robots of living instances are in a condition."""
    matcher = matching(semconv.CHARTER_ROBOT_CONDITION, condition)
    counts = series(semconv.CHARTER_ROBOT_CONDITION_COUNT, matcher)
    return f"sum by ({by}) ({living(counts)})"
