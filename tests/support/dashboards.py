"""The committed dashboards, as a test looks at them, and Grafana's variables with values."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards import external, promql

ROOT = Path(__file__).parents[2] / "dashboards"

VALUES = {
    "job": ".+",
    "instance": ".+",
    "robot": ".+",
    "service": ".+",
    "correlation": ".*",
    "environment": ".*",
    "cluster": ".*",
    **dict.fromkeys(promql.GROUPS, ".*"),
    "__rate_interval": "20s",
    "__range": "5m",
    "__range_s": "300",
    "__interval": "20s",
    "__interval_ms": "20000",
    "__auto": "1m",
}
"""Grafana's values of the variables: everything chosen, the last five minutes shown."""


class Target(NamedTuple):
    """One query, where it stands, and what kind it is."""

    where: str
    kind: str
    text: str
    instant: bool = False


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(ROOT.glob("json/*.json"))}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels, without the rows that only divide."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_of(dashboard: str, title: str) -> dict[str, Any]:
    """Return the panel with a title, of the dashboard with a file name."""
    (panel,) = (panel for panel in panels(dashboards()[dashboard]) if panel["title"] == title)
    return panel


def targets(dashboard: dict[str, Any], kind: str | None = None) -> list[Target]:
    """Return the queries of panels and annotations, of one data source or of all."""
    found = [*_of_panels(dashboard), *_of_annotations(dashboard)]
    return [target for target in found if kind in {None, target.kind}]


def every(kind: str) -> list[Target]:
    """Return the queries of all dashboards to one data source."""
    return [target for dashboard in dashboards().values() for target in targets(dashboard, kind)]


def variables(dashboard: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the variables of a type: ``datasource``, ``query``, ``textbox``."""
    return [item for item in dashboard["templating"]["list"] if item["type"] == kind]


def filled(query: str, **values: str) -> str:
    """Put values in for Grafana's variables.

    Raises:
        KeyError: The query uses a variable that has none.
    """
    known = VALUES | values
    return re.sub(r"\$(?:{(\w+)}|(\w+))", lambda found: known[found[1] or found[2]], query)


def label_values(variable: dict[str, Any]) -> tuple[str, str]:
    """Return the selector, if any, and the label that a variable asks for."""
    found = re.fullmatch(r"label_values\((?:(.+), )?(\w+)\)", variable["query"])
    assert found, f"{variable['name']} asks {variable['query']}"
    return found[1] or "", found[2]


def declared() -> dict[str, Metric]:
    """Return all known metrics by their names in Prometheus."""
    names: dict[str, Metric] = {}
    theirs = (*external.SDK, *external.COLLECTOR, *external.REDIS, *external.PROMETHEUS)
    for metric in (*semconv.METRICS, *theirs):
        parts: tuple[promql.Part, ...] = ("",)
        if metric.instrument == "histogram":
            parts = ("bucket", "sum", "count")
        names |= {promql.metric_name(metric, part): metric for part in parts}
    return names


def _of_panels(dashboard: dict[str, Any]) -> Iterator[Target]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            kind = target["datasource"]["type"]
            text = target["query"] if kind == "tempo" else target["expr"]
            instant = target.get("queryType") == "instant" or (
                bool(target.get("instant")) and not target.get("range")
            )
            yield Target(f"{dashboard['title']}: {panel['title']}", kind, text, instant)


def _of_annotations(dashboard: dict[str, Any]) -> Iterator[Target]:
    for annotation in dashboard["annotations"]["list"]:
        where = f"{dashboard['title']}: annotation {annotation['name']}"
        yield Target(where, annotation["datasource"]["type"], annotation["target"]["expr"])
