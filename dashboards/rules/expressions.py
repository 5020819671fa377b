"""PromQL of alerts, from the registry's names."""

from charter_otel.charter import EXPECTED_CLOSE_REASONS
from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards.promql import Part, label, metric_name

JOB_ID = label(semconv.CHARTER_JOB_ID)
ROBOT_ID = label(semconv.CHARTER_ROBOT_ID)
REASON = label(semconv.CHARTER_CONNECTION_CLOSE_REASON)
ERROR = label(semconv.ERROR_TYPE)
GROUP = label(semconv.MESSAGING_CONSUMER_GROUP_NAME)
SYSTEM = label(semconv.MESSAGING_SYSTEM)
SINK = label(semconv.CHARTER_SINK)
DROP_REASON = label(semconv.CHARTER_DROP_REASON)

EXPECTED = "|".join(sorted(EXPECTED_CLOSE_REASONS))
"""Close reasons that nobody needs to be woken for, as a regular expression."""


def series(metric: Metric, *matchers: str, part: Part = "") -> str:
    """Return a selector of the metric's series, or of those of a histogram's part."""
    name = metric_name(metric, part)
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def grown(selector: str, window: str, by: str) -> str:
    """Return by how much counters grew within the window, summed by labels.

    ``increase`` does not see the first increment of a series, since there is no sample before it;
    a series that was not there a window ago has grown by all that it is.
    """
    return (
        f"sum by ({by}) (\n"
        f"  ({selector} unless {selector} offset {window})\n"
        f"  or increase({selector}[{window}])\n"
        f")"
    )


def unexpected_closes(window: str, by: str) -> str:
    """Return how many connections ended in a way that nobody meant."""
    closes = series(semconv.CHARTER_CONNECTION_DURATION, f'{REASON}!~"{EXPECTED}"', part="count")
    return grown(closes, window, by)
