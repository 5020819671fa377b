"""The queries of panels, each with its legend, and those that several panels share."""

from dataclasses import dataclass
from typing import Literal

from charter_otel.otel.semconv import Metric
from dashboards import promql
from dashboards.promql import Part

Kind = Literal["prometheus", "loki", "tempo"]


@dataclass(frozen=True)
class Query:
    """A query of a panel.

    Args:
        expression: PromQL, LogQL or TraceQL.
        legend: The name of each series, with ``{{label}}``.
        kind: Which of the three.
        now: Asks for one value at the end of the time range instead of a value per step.
        table: Wants rows of labels and values instead of series.
        heat: Wants the buckets of a histogram.
        bars: Counts what happened in each step, so that steps are not shorter than a few exports.
    """

    expression: str
    legend: str = ""
    kind: Kind = "prometheus"
    now: bool = False
    table: bool = False
    bars: bool = False
    heat: bool = False


def legend(*attributes: str) -> str:
    """Name a series by its attributes."""
    return " ".join(f"{{{{{promql.label(attribute)}}}}}" for attribute in attributes)


def level(operator: str, metric: Metric, *by: str, where: tuple[str, ...] = ()) -> Query:
    """Ask for a gauge's value: the sum, the least, the most of all instances that live."""
    series = promql.living(metric, *where)
    return Query(promql.aggregate(operator, series, *by), legend(*by) or _LEGENDS[operator])


def per_second(metric: Metric, *by: str, where: tuple[str, ...] = (), part: Part = "") -> Query:
    """Ask how often something happens."""
    rate = promql.rate(metric, *where, part=part)
    return Query(promql.total(rate, *by), legend(*by) or "all")


def per_step(metric: Metric, *by: str, where: tuple[str, ...] = (), part: Part = "") -> Query:
    """Ask how often something rare happened in each step; nothing where it did not."""
    series = promql.per_step(metric, *where, part=part)
    return Query(f"{promql.total(series, *by)} > 0", legend(*by) or "all", bars=True)


def in_range(metric: Metric, *where: str, part: Part = "") -> Query:
    """Ask how often something happened in the time range; 0 where it never has."""
    series = promql.grown(metric, *where, part=part)
    return Query(promql.or_zero(promql.total(series), metric), now=True)


def share_in_range(metric: Metric, *where: str, part: Part = "count") -> Query:
    """Ask which share of all that a histogram recorded in the time range is of a kind."""
    some = promql.or_zero(promql.total(promql.grown(metric, *where, part=part)))
    every = promql.total(promql.grown(metric, part="count"))
    return Query(f"({some}) / ({every} > 0)", now=True)


def share(metric: Metric, *where: str) -> Query:
    """Ask which share of what a histogram recorded is of a kind."""
    some, every = (promql.total(promql.rate(metric, *of, part="count")) for of in (where, ()))
    return Query(f"({promql.or_zero(some)}) / {every}", "share")


def fraction(metric: Metric, of: Metric, *by: str) -> Query:
    """Ask how full the fullest is: a size by its capacity."""
    share = f"({promql.living(metric)}) / {promql.select(of)}"
    return Query(promql.aggregate("max", share, *by), legend(*by))


def percentile(share: float, metric: Metric, *by: str) -> Query:
    """Ask for a percentile of a histogram."""
    return Query(promql.quantile(share, metric, *by), legend(*by) or f"p{share * 100:g}")


def percentiles(metric: Metric, *shares: float) -> list[Query]:
    """Ask for several percentiles of a histogram; by default the usual three."""
    return [percentile(share, metric) for share in shares or (0.5, 0.95, 0.99)]


def mean(metric: Metric) -> Query:
    """Ask for the mean of a histogram in the time range."""
    return Query(promql.mean(metric), "mean", now=True)


def running_mean(metric: Metric) -> Query:
    """Ask for the mean of a histogram, over time."""
    sums, counts = (promql.total(promql.rate(metric, part=part)) for part in _PARTS)
    return Query(f"{sums} / {counts}", "mean")


def extremes(operator: str, metric: Metric, attribute: str, *where: str) -> Query:
    """Ask for the ten that stand out, each once: ``topk`` or ``bottomk``."""
    # Now: over a time, each that ever stood out would be among them.
    worst = {"topk": "max", "bottomk": "min"}[operator]
    each = promql.aggregate(worst, promql.living(metric, *where), attribute)
    return Query(f"{operator}(10, {each})", legend(attribute), now=True)


_PARTS: tuple[Part, Part] = ("sum", "count")
_LEGENDS = {"sum": "all", "min": "least", "max": "most", "avg": "mean"}
