"""From the registry's metrics to PromQL: the only place that knows how names become Prometheus's.

The Collector's exporter translates with `UnderscoreEscapingWithSuffixes`: dots to underscores, the
unit as a suffix, then `_total` for counters and `_ratio` for gauges without a unit.
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import re
from typing import Literal

from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards import external

Part = Literal["", "bucket", "sum", "count"]
"""Of a histogram, which of its three series; of anything else, nothing."""

SCOPE = (
    'job=~"$job"',
    'instance=~"$instance"',
    'deployment_environment_name=~"$environment"',
    'k8s_cluster_name=~"$cluster"',
)
"""The dashboard's selection: jobs and instances, the service's environment and cluster."""
GROUPS = {name: f"charter_robot_label_{name}" for name in ("site", "model", "firmware")}
"""Labels of robots by which dashboards choose and alerts group, where `CHARTER_ROBOT_LABELS` names
them. A loss that several explain is that of the first one."""
OF_GROUPS = tuple(f'{label}=~"${name}"' for name, label in GROUPS.items())
"""Matchers that keep robots of the chosen groups; where all are, also those of none."""
EACH = "on (job, instance)"

_STEP = "$__interval"
_MEAN: tuple[Part, Part] = ("sum", "count")
_OF_THE_SERVICE = {metric.name for metric in (*semconv.METRICS, *external.SDK)} | {"target.info"}
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
    shown = list(SCOPE if metric.name in _OF_THE_SERVICE else SCOPE[:2])
    if semconv.CHARTER_ROBOT_LABEL in metric.attributes:
        shown += OF_GROUPS
    return f"{metric_name(metric, part)}{{{', '.join((*matchers, *shown))}}}"


def living(metric: Metric, *matchers: str, part: Part = "") -> str:
    """Select as `select` does, but nothing of instances that died, hang, or have stopped.

    The Collector repeats the last values of a dead instance for minutes.
    """
    return of_living(select(metric, *matchers, part=part))


def of_living(expression: str) -> str:
    """Return an expression's series, but those of such instances."""
    return f"{expression} unless {EACH} {select(external.INSTANCES_GONE)}"


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
    """Return by how much counters grew over a time, as whole numbers.

    ``increase`` extrapolates, does not see the first increment of a series, and nothing of a series
    that appears in a process's last export. So: what is more at the end than at the start; all of
    a series that was not there at the start, unless its process was, and only its samples were
    missing; ``increase`` for what is left, which are counters that began anew.
    """
    selector = select(metric, *matchers, part=part)
    age = select(_uptime(metric))
    unseen = f"(last_over_time({age}[{over}]) > {_seconds(over)} unless {age} offset {over})"
    return (
        f"(last_over_time({selector}[{over}]) - ({selector} offset {over})"
        f" unless resets({selector}[{over}]) > 0"
        f" or last_over_time({selector}[{over}]) unless {selector} offset {over}"
        f" unless {EACH} {unseen}"
        f" or increase({selector}[{over}]))"
    )


def per_step(metric: Metric, *matchers: str, part: Part = "") -> str:
    """Return by how much counters grew in each step of a graph: each event is in one step."""
    selector, age, step = select(metric, *matchers, part=part), select(_uptime(metric)), _STEP
    unseen = f"({age} > {_seconds(step)} unless {age} offset {step})"
    return (
        f"({selector} - {selector} offset {step} >= 0"
        f" or {selector} unless {selector} offset {step} unless {EACH} {unseen})"
    )


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


def mean(metric: Metric, *matchers: str) -> str:
    """Return the mean of all that a histogram recorded in the time range, each value once."""
    sums, counts = (total(grown(metric, *matchers, part=part)) for part in _MEAN)
    return f"{sums} / ({counts} > 0)"


def or_zero(expression: str, metric: Metric | None = None) -> str:
    """Return 0 where nothing has happened yet, if somebody lives who would tell."""
    told = living(_uptime(metric) if metric else semconv.PROCESS_UPTIME)
    return f"{expression} or 0 * max({told})"


def _uptime(metric: Metric) -> Metric:
    """Return what tells for how long the instance has run that has the metric."""
    return (
        external.COLLECTOR_UPTIME if metric.name.startswith("otelcol") else semconv.PROCESS_UPTIME
    )


def _seconds(duration: str) -> str:
    """Return the seconds of a duration, which Grafana may know only."""
    known = {"$__range": "$__range_s", _STEP: "$__interval_ms / 1000"}
    return known.get(duration) or f"{seconds(duration):g}"


def _unit(metric: Metric) -> str:
    if metric.unit == "1":
        return "ratio" if metric.instrument == "gauge" else ""
    return _UNITS.get(metric.unit, "")
