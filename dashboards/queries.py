"""What panels ask: a query with its legend, and the questions that come again and again."""

from dataclasses import dataclass
from typing import Literal

from charter_otel.otel.semconv import Metric
from dashboards import promql
from dashboards.promql import Part

Kind = Literal["prometheus", "loki", "tempo"]


@dataclass(frozen=True)
class Query:
    """What a panel asks.

    Args:
        expression: PromQL, LogQL or TraceQL.
        legend: The name of each series, with ``{{label}}``.
        kind: Which of the three.
        now: Asks for one value at the end of the time range instead of a value per step.
        table: Wants rows of labels and values instead of series.
    """

    expression: str
    legend: str = ""
    kind: Kind = "prometheus"
    now: bool = False
    table: bool = False


def legend(*attributes: str) -> str:
    """Name a series by its attributes."""
    return " ".join(f"{{{{{promql.label(attribute)}}}}}" for attribute in attributes)


def level(operator: str, metric: Metric, *by: str, where: tuple[str, ...] = ()) -> Query:
    """Ask for a value now: the sum, the least, the most of a gauge."""
    series = promql.select(metric, *where)
    return Query(promql.aggregate(operator, series, *by), legend(*by) or operator)


def per_second(metric: Metric, *by: str) -> Query:
    """Ask how often something happens."""
    return Query(promql.total(promql.rate(metric), *by), legend(*by))


def per_step(metric: Metric, *by: str, where: tuple[str, ...] = (), part: Part = "") -> Query:
    """Ask how often something rare happened around each point; 0 where it never has."""
    series = promql.grown(metric, *where, part=part, over="$__rate_interval")
    return Query(promql.or_zero(promql.total(series, *by)), legend(*by))


def in_range(metric: Metric, *where: str, part: Part = "") -> Query:
    """Ask how often something happened in the time range; 0 where it never has."""
    series = promql.grown(metric, *where, part=part)
    return Query(promql.or_zero(promql.total(series)))


def share(metric: Metric, *where: str) -> Query:
    """Ask which share of what a histogram recorded is of a kind."""
    some, every = (promql.total(promql.rate(metric, *of, part="count")) for of in (where, ()))
    return Query(f"({promql.or_zero(some)}) / {every}")


def fraction(metric: Metric, of: Metric, *by: str) -> Query:
    """Ask how full the fullest is: a size by its capacity."""
    share = f"{promql.select(metric)} / {promql.select(of)}"
    return Query(promql.aggregate("max", share, *by), legend(*by))


def percentile(share: float, metric: Metric, *by: str) -> Query:
    """Ask for a percentile of a histogram."""
    return Query(promql.quantile(share, metric, *by), legend(*by) or f"p{share * 100:g}")


def percentiles(metric: Metric, *shares: float) -> list[Query]:
    """Ask for several percentiles of a histogram; by default the usual three."""
    return [percentile(share, metric) for share in shares or (0.5, 0.95, 0.99)]


def mean(metric: Metric) -> Query:
    """Ask for the mean of a histogram."""
    return Query(promql.mean(metric), "mean")


def extremes(operator: str, metric: Metric, attribute: str, *where: str) -> Query:
    """Ask for the ten that stand out: ``topk`` or ``bottomk``."""
    # Now: over a time, each that ever stood out would be among them.
    return Query(f"{operator}(10, {promql.select(metric, *where)})", legend(attribute), now=True)
