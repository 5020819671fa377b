"""From the registry's metrics to PromQL: the only place that knows how names become Prometheus's.

The Collector's exporter translates with `UnderscoreEscapingWithSuffixes`: dots to underscores, the
unit as a suffix, then `_total` for counters and `_ratio` for gauges without a unit.
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import re
from typing import Literal

from charter_otel.otel.semconv import Metric

Part = Literal["", "bucket", "sum", "count"]
"""Of a histogram, which of its three series; of anything else, nothing."""

_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}


def metric_name(metric: Metric, part: Part = "") -> str:
    """Return a metric's name in Prometheus.

    Raises:
        ValueError: A histogram needs a part, and nothing else has one.
    """
    if (metric.instrument == "histogram") != bool(part):
        raise ValueError(
            f"{metric.name} is a {metric.instrument}; bucket, sum and count are parts of histograms"
        )
    words = [word for word in re.split(r"[^a-zA-Z0-9:]+", metric.name) if word]
    for suffix in (_unit(metric), "total" if metric.instrument == "counter" else "", part):
        if suffix and suffix not in words:
            words.append(suffix)
    return "_".join(words)


def label(attribute: str) -> str:
    """Return an attribute's label in Prometheus, which is its name in Loki too."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


def seconds(duration: str) -> float:
    """Return the seconds of a duration in Prometheus's notation."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[duration[-1]]


def select(metric: Metric, *matchers: str, part: Part = "") -> str:
    """Select a metric's series of the jobs and instances that the dashboard shows.

    Args:
        metric: The metric.
        matchers: What `matching` and its kin give.
        part: Of a histogram, which of its series.

    Raises:
        ValueError: A matcher names an attribute that the metric does not have.
    """
    known = {label(attribute) for attribute in metric.attributes} | {"le"}
    for matcher in matchers:
        if re.split(r"[=!~]", matcher)[0] not in known:
            raise ValueError(f"{metric.name} has no attribute for {matcher}; it has {known}")
    scope = ('job=~"$job"', 'instance=~"$instance"')
    return f"{metric_name(metric, part)}{{{', '.join((*matchers, *scope))}}}"


def matching(attribute: str, value: str, operator: Literal["=", "!=", "=~", "!~"] = "=") -> str:
    """Return a matcher of an attribute's value."""
    return f'{label(attribute)}{operator}"{value}"'


def at_most(boundary: float) -> str:
    """Return the matcher of a histogram's bucket.

    A boundary reads ``60.0`` in Prometheus 3 and in the OpenMetrics format, which alone carries
    exemplars; it reads ``60`` in the old text format.
    """
    whole = f"{boundary:g}"
    return f'le="{whole}"' if "." in whole else f'le=~"{whole}([.]0)?"'


def rate(metric: Metric, *matchers: str, part: Part = "") -> str:
    """Return the metric's increase per second."""
    return f"rate({select(metric, *matchers, part=part)}[$__rate_interval])"


def increase(
    metric: Metric, *matchers: str, part: Part = "", over: str = "$__rate_interval"
) -> str:
    """Return the metric's increase over a time."""
    return f"increase({select(metric, *matchers, part=part)}[{over}])"


def grown(metric: Metric, *matchers: str, part: Part = "", over: str = "$__range") -> str:
    """Return the metric's increase over a time, with the first one of a series that is new.

    ``increase`` needs a sample before; a rare event would show only when it happens again.
    """
    selector = select(metric, *matchers, part=part)
    grew = increase(metric, *matchers, part=part, over=over)
    return f"({selector} unless {selector} offset {over}) or {grew}"


def total(expression: str, *by: str) -> str:
    """Sum, keeping the attributes ``by``."""
    return aggregate("sum", expression, *by)


def aggregate(operator: str, expression: str, *by: str) -> str:
    """Aggregate, keeping the attributes ``by``."""
    kept = f" by ({', '.join(label(attribute) for attribute in by)})" if by else ""
    return f"{operator}{kept} ({expression})"


def quantile(share: float, metric: Metric, *by: str, matchers: tuple[str, ...] = ()) -> str:
    """Estimate a quantile of a histogram from its buckets."""
    buckets = total(rate(metric, *matchers, part="bucket"), "le", *by)
    return f"histogram_quantile({share}, {buckets})"


def mean(metric: Metric, *by: str) -> str:
    """Return the mean of what a histogram recorded."""
    return f"{total(rate(metric, part='sum'), *by)} / {total(rate(metric, part='count'), *by)}"


def or_zero(expression: str) -> str:
    """Show 0 where nothing has happened yet, instead of no data."""
    return f"{expression} or vector(0)"


def _unit(metric: Metric) -> str:
    if metric.unit == "1":
        return "ratio" if metric.instrument == "gauge" else ""
    return _UNITS.get(metric.unit, "")
