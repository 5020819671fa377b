"""Targets of clicks: the next dashboard, the trace of a record, the history of a robot."""

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from charter_otel.otel import semconv
from dashboards.promql import label

TAG = "charter-otel"
"""On every dashboard, so that each leads to the others."""

SOURCES = ("prometheus", "loki", "tempo")
"""The data sources that every dashboard has a variable for."""

TRACE_FIELDS = (label(semconv.CHARTER_EVENT_CORRELATION_ID), "trace_id", "Trace")
"""Columns that hold a trace id."""


def other_dashboards() -> dashboard.DashboardLink:
    """Lead to the project's other dashboards, with time range and variables kept."""
    link = dashboard.DashboardLink("Charter").type(DashboardLinkType.DASHBOARDS)
    link.tags([TAG]).as_dropdown(True).icon("external link")
    return link.include_vars(True).keep_time(True).tooltip("The same time and robots elsewhere")


def column_links() -> dict[str, list[dict[str, object]]]:
    """Return the links of a table's columns, by a pattern of the column's name."""
    robot = label(semconv.CHARTER_ROBOT_ID)
    return {
        "/^Alert$/": [_link("Runbook of ${__value.raw}", "/public/runbooks/${__value.raw}.md")],
        f"/^({'|'.join(TRACE_FIELDS)})$/": [_link("Trace ${__value.raw}", trace_url())],
        f"/^({robot}|Robot)$/": [
            _link("Readings of ${__value.raw}", _robot_url("charter-analytics")),
            _link("History of ${__value.raw}", _robot_url("charter-audit")),
        ],
    }


def trace_url() -> str:
    """Open the trace whose id was clicked, in Explore."""
    panes = {
        "trace": {
            "datasource": "${tempo_datasource}",
            "queries": [{"refId": "A", "queryType": "traceql", "query": "${__value.raw}"}],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    }
    encoded = quote(json.dumps(panes, separators=(",", ":")), safe="${}:_.")
    return f"/explore?schemaVersion=1&panes={encoded}"


def _robot_url(uid: str) -> str:
    sources = "&".join(f"${{{kind}_datasource:queryparam}}" for kind in SOURCES)
    return f"/d/{uid}?var-robot=${{__value.raw}}&{sources}&${{__url_time_range}}"


def _link(title: str, url: str) -> dict[str, object]:
    return {"title": title, "url": url, "targetBlank": False}
