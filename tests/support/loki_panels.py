"""Panels that ask Loki, for a run whose records are known."""

from collections import defaultdict

from support.dashboards import dashboards, filled, panel_of, variables
from support.known_run import Run
from support.logql import records, vector

STEP = 7
"""Seconds of a bar."""


def stat(run: Run, dashboard: str, title: str, **chosen: str) -> float:
    """Return what a stat shows for the whole run; ``chosen`` are values of variables."""
    (target,) = panel_of(dashboard, title)["targets"]
    assert target["queryType"] == "instant", "the last value of a range would be that of a step"
    began, ended = _range(run)
    asked = _asked(dashboard, title, chosen, ended - began)
    (value,) = vector(asked, run.records, ended).values()
    return value


def bars(run: Run, dashboard: str, title: str, **chosen: str) -> dict[str, float]:
    """Return the sums of the bars, or of the dots, by the value of their legend's label."""
    began, ended = _range(run)
    asked = _asked(dashboard, title, chosen, STEP)
    sums: defaultdict[str, float] = defaultdict(float)
    for at in range(began + STEP, ended + STEP, STEP):
        for labels, value in vector(asked, run.records, at).items():
            sums[" ".join(value for _, value in labels)] += value
    return sums


def rows(run: Run, dashboard: str, title: str, **chosen: str) -> list[dict[str, str]]:
    """Return the rows of a table by its headings, or the fields of each record of a panel."""
    began, ended = _range(run)
    asked = _asked(dashboard, title, chosen, ended - began)
    found = [r.fields for r in records(asked, run.records, began, ended)]
    options = {
        each["id"]: each["options"]
        for each in panel_of(dashboard, title).get("transformations", ())
    }
    if not options:
        return found
    headings = options["organize"]["renameByName"]
    kept = [name for name in options["filterFieldsByName"]["include"]["names"] if name != "Time"]
    return [{headings[name]: fields[name] for name in kept} for fields in found]


def _range(run: Run) -> tuple[int, int]:
    return int(run.began), int(run.ended or 0) + 1


def _asked(dashboard: str, title: str, chosen: dict[str, str], window: int) -> str:
    """Return a panel's query, with everything chosen that is not chosen otherwise."""
    (target,) = panel_of(dashboard, title)["targets"]
    everything = {v["name"]: v["allValue"] for v in variables(dashboards()[dashboard], "query")}
    return filled(target["expr"], **everything | chosen, __auto=f"{window}s")
