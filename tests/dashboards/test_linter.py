"""The seventeen rules of grafana/dashboard-linter, without exclusions.

The linter is a Go program that ships as a release binary only. Each test here is one of its rules
and bears its name; `strict` says where we ask for more.
https://github.com/grafana/dashboard-linter/tree/main/lint
"""

import re
from collections.abc import Iterator

import pytest
import yaml
from promql_parser import BinaryExpr, Call, Expr, VectorSelector, parse

from dashboards.kit import Dashboard
from support.dashboards import (
    ROOT,
    dashboards,
    declared,
    filled,
    label_values,
    panels,
    targets,
    variables,
)
from support.promql import nodes, within

NUMERIC = {"stat", "timeseries", "gauge"}
QUERIED = {*NUMERIC, "state-timeline"}
SILENT = {"text", "alertlist"}
"""Kinds of panels that ask no query."""
UNITS = {"none", "locale", "percentunit", "bytes", "s", "eps", "mps", "recps", "reqps"}
"""The part of the linter's list that we use."""


@pytest.fixture(params=dashboards())
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    """Return each dashboard."""
    return dashboards()[request.param]


def test_template_datasource_rule(dashboard: Dashboard) -> None:
    """Data source variables exist and are named and labelled by their kind."""
    found = variables(dashboard, "datasource")
    assert found
    for variable in found:
        assert variable["name"] == f"{variable['query']}_datasource"
        assert variable["label"] == f"{variable['query'].title()} data source"


@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance_rule(dashboard: Dashboard, name: str) -> None:
    """A dashboard of metrics can be narrowed to jobs and instances."""
    if _first(dashboard) != "prometheus":
        assert {kind for _, kind, _ in _queried(dashboard)} == {"loki"}, "only marks ask Prometheus"
        return
    (variable,) = (item for item in dashboard["templating"]["list"] if item["name"] == name)
    assert variable["datasource"]["uid"] == "${prometheus_datasource}"
    assert variable["type"] == "query"
    assert variable["label"] == name.title()
    assert variable["multi"]
    assert variable["allValue"] == ".+"


def test_template_label_promql_rule(dashboard: Dashboard) -> None:
    """A variable's query is a valid selector."""
    for variable in variables(dashboard, "query"):
        selector, _ = label_values(variable)
        if selector:
            parse(filled(selector))


def test_template_on_time_change_reload_rule(dashboard: Dashboard) -> None:
    """Variables ask again when the time range changes."""
    for variable in variables(dashboard, "query"):
        assert variable["refresh"] == 2


def test_panel_datasource_rule(dashboard: Dashboard) -> None:
    """Panels use the data source variables; strict: panels of every kind, and their queries."""
    known = {f"${{{variable['name']}}}" for variable in variables(dashboard, "datasource")}
    for panel in panels(dashboard):
        if panel["type"] not in SILENT:
            assert panel["datasource"]["uid"] in known
            for target in panel["targets"]:
                assert target["datasource"] == panel["datasource"]


def test_panel_title_description_rule(dashboard: Dashboard) -> None:
    """Panels have a title and a description; strict: panels of every kind."""
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"]


def test_panel_units_rule(dashboard: Dashboard) -> None:
    """Numbers have a valid unit; words need none."""
    for panel in panels(dashboard):
        if panel["type"] in NUMERIC and not panel["fieldConfig"]["defaults"].get("mappings"):
            assert panel["fieldConfig"]["defaults"].get("unit") in UNITS, panel["title"]


def test_panel_no_targets_rule(dashboard: Dashboard) -> None:
    """Panels ask something; strict: every kind that can."""
    for panel in panels(dashboard):
        assert panel["type"] in SILENT or panel["targets"], panel["title"]


def test_target_logql_rule(dashboard: Dashboard) -> None:
    """A dashboard whose first data source is Loki asks in LogQL only; `test_logql` parses it."""
    if _first(dashboard) == "loki":
        assert {kind for _, kind, _ in _queried(dashboard)} == {"loki"}


def test_target_logql_auto_rule(dashboard: Dashboard) -> None:
    """Ranges of LogQL are as long as a step; strict: in panels of every kind."""
    for target in targets(dashboard, "loki"):
        ranges = re.findall(r"\[([^\[\]]+)\](?!\*)", re.sub(r'"[^"]*"', "", target.text))
        assert set(ranges) <= {"$__auto"}, target


def test_target_promql_rule(dashboard: Dashboard) -> None:
    """If the first data source is Prometheus, panels of numbers ask in valid PromQL only."""
    if _first(dashboard) == "prometheus":
        for _, kind, text in _queried(dashboard):
            assert kind == "prometheus"
            parse(filled(text))


def test_target_promql_rule_strict(dashboard: Dashboard) -> None:
    """All PromQL is valid, in panels of every kind and in annotations."""
    for target in targets(dashboard, "prometheus"):
        parse(filled(target.text))


def test_target_rate_interval_rule(dashboard: Dashboard) -> None:
    """A rate is taken over `$__rate_interval`."""
    for target in targets(dashboard, "prometheus"):
        marked = filled(target.text, __rate_interval="11s")
        for call in nodes(marked, Call):
            if call.func.name in {"rate", "irate"}:
                assert "[11s]" in call.prettify(), target


@pytest.mark.parametrize("name", ["job", "instance"])
def test_target_job_and_instance_rule(dashboard: Dashboard, name: str) -> None:
    """Every selector follows the variables job and instance."""
    if _first(dashboard) != "prometheus":
        return
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == "prometheus":
                marked = filled(target["expr"], job="JOB", instance="INSTANCE")
                for selector in nodes(marked, VectorSelector):
                    assert f'{name}=~"{name.upper()}"' in selector.prettify(), panel["title"]


def test_target_counter_agg_rule(dashboard: Dashboard) -> None:
    """A counter is read through rate, irate or increase.

    The linter looks at selectors whose text ends in `_total`. Strict: a counter's own value shows
    only if it is new (`x unless x offset …`), or as its growth (`x - x offset …`), whatever the
    matchers.
    """
    counters = {
        name for name, metric in declared().items() if metric.instrument in {"counter", "histogram"}
    }
    for target in targets(dashboard, "prometheus"):
        for selector, above in within(parse(filled(target.text))):
            if isinstance(selector, VectorSelector) and selector.name in counters:
                assert _ranged(above) or {"unless", "-"} & {*map(_operator, above)}, target


def test_panels_that_are_left_out_exist_and_query_no_prometheus() -> None:
    """`json/.lint` answers what the real linter complains of: each entry names a panel."""
    found = {board["title"]: board for board in dashboards().values()}
    for rule in yaml.safe_load((ROOT / "json" / ".lint").read_text())["exclusions"].values():
        assert rule["reason"]
        for entry in rule["entries"]:
            board = found[entry["dashboard"]]
            if "panel" in entry:
                (panel,) = (one for one in panels(board) if one["title"] == entry["panel"])
                assert {t["datasource"]["type"] for t in panel["targets"]} <= {"loki", "tempo"}


def test_every_panel_that_asks_no_prometheus_is_left_out() -> None:
    """A new table of records needs an entry, or the real linter takes it for PromQL."""
    rules = yaml.safe_load((ROOT / "json" / ".lint").read_text())["exclusions"]
    entries = {(e["dashboard"], e["panel"]) for e in rules["target-promql-rule"]["entries"]}
    foreign = {
        (board["title"], panel["title"])
        for board in dashboards().values()
        if _first(board) == "prometheus"
        for panel in panels(board)
        for target in panel.get("targets", ())
        if target["datasource"]["type"] != "prometheus"
    }
    assert entries == foreign


def test_uneditable_dashboard(dashboard: Dashboard) -> None:
    """Nobody edits a dashboard that the next deployment overwrites."""
    assert dashboard["editable"] is False


def _first(dashboard: Dashboard) -> str:
    """Return the kind of the first data source variable: by it the linter chooses its rules."""
    kind: str = variables(dashboard, "datasource")[0]["query"]
    return kind


def _queried(dashboard: Dashboard) -> Iterator[tuple[str, str, str]]:
    for panel in panels(dashboard):
        if panel["type"] in QUERIED:
            for target in panel["targets"]:
                yield panel["title"], target["datasource"]["type"], target["expr"]


def _ranged(above: tuple[Expr, ...]) -> bool:
    names = {node.func.name for node in above if isinstance(node, Call)}
    return bool(names & {"rate", "irate", "increase", "resets"})


def _operator(node: object) -> str:
    return str(node.op) if isinstance(node, BinaryExpr) else ""
