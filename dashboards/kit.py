"""The house style of a dashboard: variables, links, annotations, and what `finish` completes."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard, loki, prometheus
from grafana_foundation_sdk.builders.dashboard import Dashboard as Builder
from grafana_foundation_sdk.cog.builder import Builder as AnyBuilder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    Panel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from charter_otel.charter import EventType
from charter_otel.otel import semconv
from dashboards import external, logql, promql
from dashboards.links import TAG, other_dashboards
from dashboards.panels import source

Dashboard = dict[str, Any]
"""A dashboard as Grafana reads it."""
Panels = Sequence[AnyBuilder[Panel]]

NAMES = {"prometheus": "Prometheus", "loki": "Loki", "tempo": "Tempo"}


def start(
    uid: str, title: str, question: str, refresh: str, time_from: str, *, first: str = "prometheus"
) -> Builder:
    """Start a dashboard with its data sources, links and annotations.

    Args:
        uid: Stays the same for ever: links and alerts hold it.
        title: Its name.
        question: What it answers, in one sentence.
        refresh: How often it asks again.
        time_from: How far back it looks, e.g. ``now-1h``.
        first: The data source that most panels use; it decides how the linter reads the rest.
    """
    made = Builder(title).uid(uid).description(question).tags([TAG]).readonly()
    made.time(time_from, "now").refresh(refresh).timezone("browser")
    made.tooltip(DashboardCursorSync.CROSSHAIR).link(other_dashboards())
    for kind in sorted(NAMES, key=lambda kind: kind != first):
        made.with_variable(_datasource(kind))
    return made.annotation(_job_failures()).annotation(_deployments())


def scope(made: Builder, present: str) -> Builder:
    """Add the variables job and instance, for those that have the series ``present``."""
    made.with_variable(query_variable("job", f"label_values({present}, job)"))
    chosen = _within(present, 'job=~"$job"')
    return made.with_variable(query_variable("instance", f"label_values({chosen}, instance)"))


def robots(made: Builder, matchers: str = 'job=~"$job", instance=~"$instance"') -> Builder:
    """Add the variable robot."""
    series = _within(promql.metric_name(semconv.CHARTER_ROBOT_ONLINE), matchers)
    name = promql.label(semconv.CHARTER_ROBOT_ID)
    return made.with_variable(query_variable("robot", f"label_values({series}, {name})"))


def services(made: Builder) -> Builder:
    """Add the variable service: whose logs and traces are shown."""
    return made.with_variable(query_variable("service", "label_values(service_name)", "loki"))


def query_variable(name: str, query: str, kind: str = "prometheus") -> dashboard.QueryVariable:
    """Make a variable of several values, all of them at first."""
    variable = dashboard.QueryVariable(name).label(name.title()).query(query).definition(query)
    variable.datasource(source(kind)).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.multi(True).include_all(True).all_value(".+").sort(VariableSort.ALPHABETICAL_ASC)
    return variable.current(VariableOption(text=["All"], value=["$__all"]))


def text_variable(name: str, value: str) -> dashboard.TextBoxVariable:
    """Make a variable that takes any text."""
    return dashboard.TextBoxVariable(name).label(name.title()).default_value(value)


def row(made: Builder, title: str, panels: Panels) -> Builder:
    """Add a row with its panels under it."""
    made.with_row(dashboard.Row(title))
    for panel in panels:
        made.with_panel(panel)
    return made


def alert_list(title: str, description: str, *, width: int) -> dashboard.Panel:
    """Show the alerts of all rules, Prometheus's and Loki's; this kind of panel asks no query."""
    panel = dashboard.Panel().type("alertlist").title(title).description(description)
    shown = {"firing": True, "pending": True, "recovering": True, "noData": False, "error": True}
    panel.options(
        {
            "viewMode": "list",
            "groupMode": "default",
            "maxItems": 50,
            "sortOrder": 3,
            "dashboardAlerts": False,
            # It fires always.
            "alertInstanceLabelFilter": '{alertname!="Watchdog"}',
            "stateFilter": shown,
        }
    )
    return panel.datasource(source("prometheus")).unit("none").span(width).height(8)


def finish(made: Builder) -> Dashboard:
    """Complete what the SDK leaves out: ids that survive reordering, refIds, links in sight."""
    encoded = json.dumps(made.build(), cls=JSONEncoder)
    finished: Dashboard = json.loads(encoded)
    for panel in finished["panels"]:
        panel["id"] = zlib.crc32(f"{panel['type']} {panel['title']}".encode()) % 1_000_000
        for index, target in enumerate(panel.get("targets", ())):
            target["refId"] = chr(ord("A") + index)
    for shown in (*finished["links"], *finished["annotations"]["list"]):
        shown.pop("placement", None)
    return finished


def _within(present: str, matchers: str) -> str:
    """Add matchers to a metric's name or to a selector."""
    if not matchers:
        return present
    if present.endswith("}"):
        return f"{present[:-1]}, {matchers}}}"
    return f"{present}{{{matchers}}}"


def _datasource(kind: str) -> AnyBuilder[VariableModel]:
    variable = dashboard.DatasourceVariable(f"{kind}_datasource").type(kind)
    variable.label(f"{NAMES[kind]} data source")
    return variable.current(VariableOption(text=NAMES[kind], value=f"charter-{kind}"))


def _job_failures() -> dashboard.AnnotationQuery:
    failed = logql.events(EventType.METRICS_AGGREGATION_FAILED)
    if_any = failed.replace('"$service"', '".+"')
    annotation = dashboard.AnnotationQuery().name("Job failures").icon_color("red").enable(True)
    annotation.datasource(source("loki")).expr(if_any)
    annotation.target(loki.Dataquery().expr(if_any).query_type("range").ref_id("Failures"))
    annotation.title_format(f"{{{{{promql.label(semconv.CHARTER_JOB_ID)}}}}} failed")
    annotation.text_format(f"{{{{{promql.label(semconv.CHARTER_JOB_ERROR_MESSAGE)}}}}}")
    return annotation.tag_keys(
        ",".join(map(promql.label, (semconv.ERROR_TYPE, semconv.CHARTER_EVENT_CORRELATION_ID)))
    )


def _deployments() -> dashboard.AnnotationQuery:
    running = f'{promql.metric_name(external.TARGET_INFO)}{{service_version!=""}}'
    versions = promql.aggregate("count", "{}", "job", external.SERVICE_VERSION)
    new = f"{versions.format(running)} unless {versions.format(running + ' offset 5m')}"
    annotation = dashboard.AnnotationQuery().name("Deployments").icon_color("blue").enable(True)
    annotation.datasource(source("prometheus")).expr(new)
    annotation.target(prometheus.Dataquery().expr(new).range().ref_id("Deployments"))
    annotation.title_format("{{job}} {{service_version}}").text_format("a version appears")
    return annotation.tag_keys("job,service_version").step("15s")
