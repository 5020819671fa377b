"""The look of panels: each rule comes from a panel that misled somebody."""

import re
from typing import Any

import pytest

from dashboards.kit import Dashboard
from dashboards.panels import MEANING, SHORTEST_BAR
from support.dashboards import dashboards, panels, variables

LETTERS_PER_COLUMN = 4.6
"""Of a title in a 24th of 1,600 pixels."""
GOOD_OR_BAD = {"green", "red", "orange", "yellow"}
PLOTTED = {"timeseries", "bargauge", "heatmap", "state-timeline"}


@pytest.fixture(params=dashboards())
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    """Return each dashboard."""
    return dashboards()[request.param]


def of_kind(dashboard: Dashboard, *kinds: str) -> list[dict[str, Any]]:
    """Return the panels of some kinds."""
    return [panel for panel in panels(dashboard) if panel["type"] in kinds]


def test_titles_fit(dashboard: Dashboard) -> None:
    """At 1,600 pixels no title is cut."""
    for panel in panels(dashboard):
        if panel["type"] != "text":
            width = panel["gridPos"]["w"]
            assert len(panel["title"]) <= LETTERS_PER_COLUMN * width, panel["title"]


def test_numbers_are_of_now(dashboard: Dashboard) -> None:
    """A number asks for now: the last value of a range stays for as long as the range is."""
    for panel in of_kind(dashboard, "stat"):
        for target in panel["targets"]:
            instant = target.get("instant") or target.get("queryType") == "instant"
            assert instant, panel["title"]
            assert not target.get("range"), panel["title"]
        assert panel["options"]["graphMode"] == "none", panel["title"]


def test_an_unknown_value_is_neither_good_nor_bad(dashboard: Dashboard) -> None:
    """No data is grey and says so, and a number without limits has no colour of its own."""
    for panel in of_kind(dashboard, "stat"):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] == "no data", panel["title"]
        special = [one for one in defaults["mappings"] if one["type"] == "special"]
        assert [one["options"]["result"]["color"] for one in special] == ["text"], panel["title"]
        steps = defaults["thresholds"]["steps"]
        if len(steps) == 1:
            assert steps[0]["color"] not in GOOD_OR_BAD, panel["title"]


def test_gauges_of_now_leave_out_the_dead(dashboard: Dashboard) -> None:
    """A number of now leaves out the last words of an instance that died."""
    for panel in of_kind(dashboard, "stat"):
        for target in panel["targets"]:
            asked = target["expr"]
            if target["datasource"]["type"] == "loki":
                continue
            if re.search(
                r"charter_(connection_active|robot_(co|on|ba|cp|me|ne)|stream_connected)", asked
            ):
                assert "unless on (job, instance) charter:instances:gone" in asked, panel["title"]


def test_robots_are_counted_once(dashboard: Dashboard) -> None:
    """A robot that moved has series of two instances: who ranks robots aggregates them first."""
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            for ranked in re.findall(r"(?:topk|bottomk)\(10, (.*)", target.get("expr", "")):
                assert ranked.startswith(("max by", "min by", "sum by")), panel["title"]


def test_tables_are_sorted(dashboard: Dashboard) -> None:
    """Loki answers stream by stream; records are newest first, and every table has an order."""
    for panel in of_kind(dashboard, "table"):
        (order,) = panel["options"]["sortBy"]
        if "extractFields" in {step["id"] for step in panel.get("transformations", ())}:
            assert order == {"displayName": "Time", "desc": True}, panel["title"]


def test_bars_are_disjoint(dashboard: Dashboard) -> None:
    """Each event is in one bar: windows are as long as steps, and longer than a few exports."""
    for panel in of_kind(dashboard, "timeseries", "heatmap"):
        bars = panel["fieldConfig"]["defaults"]["custom"].get("drawStyle") == "bars"
        for target in panel["targets"]:
            asked = target["expr"]
            if "$__interval" in asked:
                assert target["interval"] == SHORTEST_BAR, panel["title"]
            if bars and target["datasource"]["type"] == "prometheus" and "rate(" not in asked:
                assert "$__rate_interval" not in asked, panel["title"]


def test_legends_are_words(dashboard: Dashboard) -> None:
    """No legend is `Value`, a function's name, nothing at all, or a whole expression."""
    for panel in of_kind(dashboard, *PLOTTED):
        for target in panel["targets"]:
            legend = target.get("legendFormat", "")
            assert legend, panel["title"]
            assert legend not in {"sum", "max", "min", "avg", "count"}, panel["title"]
            assert "vector(0)" not in target["expr"] or "{{" not in legend, panel["title"]


def test_nothing_reads_as_nothing(dashboard: Dashboard) -> None:
    """An empty chart says "none" or "no data"; counts have whole axes that reach 1 at least."""
    for panel in of_kind(dashboard, "timeseries"):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] in {"none", "no data"}, panel["title"]
        if defaults["unit"] == "locale":
            assert defaults["decimals"] == 0, panel["title"]
            assert defaults["custom"]["axisSoftMax"] == 1, panel["title"]


def test_colours_mean_the_same_everywhere(dashboard: Dashboard) -> None:
    """The name of a series decides its colour, not its place in the legend."""
    for panel in of_kind(dashboard, "timeseries"):
        assert panel["fieldConfig"]["defaults"]["color"]["mode"] == "palette-classic-by-name"
        fixed = [
            change["value"]["fixedColor"]
            for override in panel["fieldConfig"]["overrides"]
            for change in override["properties"]
            if change["id"] == "color"
        ]
        assert fixed == list(MEANING.values()), panel["title"]


def test_a_lower_limit_does_not_read_as_a_target(dashboard: Dashboard) -> None:
    """If lower is worse, the area below is red; there is no green line."""
    for panel in of_kind(dashboard, "timeseries"):
        defaults = panel["fieldConfig"]["defaults"]
        first = defaults["thresholds"]["steps"][0]["color"]
        style = defaults["custom"].get("thresholdsStyle", {}).get("mode", "off")
        assert style == "off" or (style == "area") == (first in {"red", "orange"}), panel["title"]


def test_rankings_show_all_of_their_bars(dashboard: Dashboard) -> None:
    """Ten bars need nine lines of the grid."""
    for panel in of_kind(dashboard, "bargauge"):
        assert panel["gridPos"]["h"] >= 9, panel["title"]


def test_rows_of_states_can_be_read(dashboard: Dashboard) -> None:
    """Twenty robots need fourteen lines."""
    for panel in of_kind(dashboard, "state-timeline"):
        if "robot_id" in panel["targets"][0]["expr"]:
            assert panel["gridPos"]["h"] >= 14, panel["title"]


def test_log_lines_have_no_endless_digits(dashboard: Dashboard) -> None:
    """A duration in a line has two decimals."""
    for panel in of_kind(dashboard, "logs"):
        for target in panel["targets"]:
            assert not re.search(r"{{\.charter_\w+_seconds}}", target["expr"]), panel["title"]


def test_places_can_be_chosen(dashboard: Dashboard) -> None:
    """Environment and cluster come first, and let through what names no place."""
    chosen = {variable["name"]: variable for variable in variables(dashboard, "query")}
    assert chosen["environment"]["allValue"] == chosen["cluster"]["allValue"] == ".*"
    assert all(variable["hide"] == 2 for variable in variables(dashboard, "datasource"))
