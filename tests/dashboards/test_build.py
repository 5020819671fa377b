"""The committed files follow from the definitions, and keep the names that others refer to."""

import pytest

from dashboards import build, kit
from dashboards.kit import Dashboard
from dashboards.panels import number
from dashboards.queries import Query
from support.dashboards import dashboards, panels, variables

GRID = 24


@pytest.fixture(params=dashboards())
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    """Return each dashboard."""
    return dashboards()[request.param]


def test_committed() -> None:
    """The JSON in the repository is what `make generate` writes."""
    assert build.drift(build.render()) == []


def test_reproducible() -> None:
    """Building twice gives the same bytes."""
    assert build.render() == build.render()


def test_uids() -> None:
    """The uids are fixed: alerts, runbooks and bookmarks hold them."""
    assert {name: dashboard["uid"] for name, dashboard in dashboards().items()} == {
        "fleet.json": "charter-fleet",
        "incidents.json": "charter-incidents",
        "analytics.json": "charter-analytics",
        "audit.json": "charter-audit",
        "pipeline.json": "charter-pipeline",
    }


def test_panel_ids(dashboard: Dashboard) -> None:
    """Each panel has an id of its own, and so does each query of a panel."""
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(dashboard):
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)


def test_panel_ids_survive_reordering() -> None:
    """An id follows from kind and title: links to a panel outlive a new one before it."""
    question = Query("vector(1)")

    def ids(*titles: str) -> dict[str, int]:
        made = kit.start("uid", "Title", "Question?", "5s", "now-1h")
        for title in titles:
            made.with_panel(number(title, "What it shows.", question))
        return {panel["title"]: panel["id"] for panel in kit.finish(made)["panels"]}

    assert ids("one", "two") == ids("two", "one")


def test_question_first(dashboard: Dashboard) -> None:
    """The first thing on each dashboard is the one question that it answers, then an overview."""
    first, row = dashboard["panels"][:2]
    assert first["type"] == "text"
    assert first["title"] == dashboard["description"]
    assert first["title"].endswith("?")
    assert (row["type"], row["title"]) == ("row", "Overview")


def test_panels_speak(dashboard: Dashboard) -> None:
    """Every panel has a title, a description of its own, and a unit or words for its values."""
    for panel in panels(dashboard):
        assert panel["title"], panel
        assert panel["description"], panel["title"]
        if panel["type"] != "text":
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults.get("unit") or defaults.get("mappings"), panel["title"]
            assert panel["datasource"]["uid"].startswith("${"), panel["title"]
    descriptions = [panel["description"] for panel in panels(dashboard)]
    assert len(set(descriptions)) == len(descriptions)


def test_grid(dashboard: Dashboard) -> None:
    """Panels stand side by side in full lines: none overlaps another, none sticks out."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID, panel["title"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for y in {y for _, y in taken}:
        assert len([x for x, row in taken if row == y]) == GRID, f"line {y} has a gap"


def test_links(dashboard: Dashboard) -> None:
    """Each dashboard leads to the others with time and variables, in sight."""
    (link,) = dashboard["links"]
    assert link["type"] == "dashboards"
    assert link["includeVars"]
    assert link["keepTime"]
    assert set(link["tags"]) <= set(dashboard["tags"])
    assert "placement" not in link


def test_exemplars(dashboard: Dashboard) -> None:
    """A line of a histogram shows the traces behind it, and nothing else asks for exemplars."""
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            if panel["type"] == "timeseries" and target["datasource"]["type"] == "prometheus":
                assert target["exemplar"] == ("_bucket{" in target["expr"]), panel["title"]


def test_trace_links(dashboard: Dashboard) -> None:
    """In every table a trace id leads to its trace, a robot to its readings and its history."""
    for panel in panels(dashboard):
        if panel["type"] == "table":
            links = [
                link["url"]
                for override in panel["fieldConfig"]["overrides"]
                for change in override["properties"]
                if change["id"] == "links"
                for link in change["value"]
            ]
            assert any("${tempo_datasource}" in url for url in links), panel["title"]
            assert any("charter-audit" in url for url in links), panel["title"]


def test_tables_of_records(dashboard: Dashboard) -> None:
    """A table of Loki's records has one time and headings for people, none of them a label."""
    for panel in panels(dashboard):
        steps = {step["id"]: step["options"] for step in panel.get("transformations", ())}
        if "extractFields" in steps:
            assert steps["extractFields"]["replace"]
            assert steps["extractFields"]["keepTime"]
            assert set(steps["organize"]["renameByName"]) == set(
                steps["filterFieldsByName"]["include"]["names"]
            )
            assert not [word for word in steps["organize"]["renameByName"].values() if "_" in word]


def test_annotations(dashboard: Dashboard) -> None:
    """Outages and deployments are marked on every dashboard, but not on bars of states."""
    names = [annotation["name"] for annotation in dashboard["annotations"]["list"]]
    assert names == ["Outages", "Deployments"]
    states = {panel["id"] for panel in panels(dashboard) if panel["type"] == "state-timeline"}
    for annotation in dashboard["annotations"]["list"]:
        assert annotation["filter"]["exclude"]
        assert set(annotation["filter"]["ids"]) == states


def test_overview_is_fresh() -> None:
    """The fleet overview asks every 5 s."""
    assert dashboards()["fleet.json"]["refresh"] == "5s"


def test_variables_have_data_sources(dashboard: Dashboard) -> None:
    """A variable asks one of the dashboard's data sources, and offers all values."""
    sources = {f"${{{variable['name']}}}" for variable in variables(dashboard, "datasource")}
    for variable in variables(dashboard, "query"):
        assert variable["datasource"]["uid"] in sources
        assert variable["includeAll"]


@pytest.mark.parametrize(
    ("name", "panel"), [("audit.json", "Events by type"), ("pipeline.json", "Emitted")]
)
def test_a_program_s_own_types_are_shown(name: str, panel: str) -> None:
    """The panels by type choose no types: one that a program declared is a series like the six."""
    [found] = [each for each in panels(dashboards()[name]) if each.get("title") == panel]
    expressions = [target["expr"] for target in found["targets"]]
    assert expressions
    for expression in expressions:
        assert "charter_event_type" in expression
        assert "telemetry." not in expression
        assert "metrics." not in expression
