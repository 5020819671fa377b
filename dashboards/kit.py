"""The house style of a dashboard: variables, links, annotations, and what `finish` completes."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.builders.dashboard import Dashboard as Builder
from grafana_foundation_sdk.cog.builder import Builder as AnyBuilder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    Panel,
    VariableHide,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from charter_otel.otel import semconv
from dashboards import external, promql
from dashboards.links import TAG, other_dashboards
from dashboards.panels import source
from dashboards.rules.service import CAUSES

Dashboard = dict[str, Any]
"""A dashboard as Grafana reads it."""
Panels = Sequence[AnyBuilder[Panel]]

PLACES = {"environment": "deployment.environment.name", "cluster": "k8s.cluster.name"}
"""Variables that choose a part of all there is, and the resource attribute of each."""

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
    return made.annotation(_outages()).annotation(_deployments())


def scope(made: Builder, present: str) -> Builder:
    """Add the variables that choose a part: environment, cluster, groups of robots, job, instance.

    Args:
        made: The dashboard.
        present: The series that jobs and instances are to have.
    """
    for name, attribute in PLACES.items():
        made.with_variable(place_variable(name, f"label_values({promql.label(attribute)})"))
    groups(made).with_variable(query_variable("job", f"label_values({present}, job)"))
    chosen = _within(present, 'job=~"$job"')
    return made.with_variable(query_variable("instance", f"label_values({chosen}, instance)"))


def robots(made: Builder, matchers: str = 'job=~"$job", instance=~"$instance"') -> Builder:
    """Add the variable robot."""
    series = _within(promql.metric_name(semconv.CHARTER_ROBOT_ONLINE), matchers)
    name = promql.label(semconv.CHARTER_ROBOT_ID)
    robot = query_variable("robot", f"label_values({series}, {name})")
    # In Loki, all robots are also the events that belong to none.
    return made.with_variable(robot if matchers else robot.all_value(".*"))


def places(made: Builder) -> Builder:
    """Add the variables environment and cluster, as Loki knows them."""
    for name, attribute in PLACES.items():
        label = promql.label(attribute)
        made.with_variable(place_variable(name, f"label_values({label})", "loki"))
    return made


def groups(made: Builder) -> Builder:
    """Add the variables that choose robots by their labels, as the metrics know them."""
    for name, label in promql.GROUPS.items():
        made.with_variable(place_variable(name, f"label_values({label})"))
    return made


def services(made: Builder) -> Builder:
    """Add the variable service: whose logs and traces are shown."""
    return made.with_variable(query_variable("service", "label_values(service_name)", "loki"))


def query_variable(name: str, query: str, kind: str = "prometheus") -> dashboard.QueryVariable:
    """Make a variable of several values, all of them at first."""
    variable = dashboard.QueryVariable(name).label(name.title()).query(query).definition(query)
    variable.datasource(source(kind)).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.multi(True).include_all(True).all_value(".+").sort(VariableSort.ALPHABETICAL_ASC)
    return variable.current(VariableOption(text=["All"], value=["$__all"]))


def place_variable(name: str, query: str, kind: str = "prometheus") -> dashboard.QueryVariable:
    """Make a variable that also lets through what has no such label: most fleets name no place."""
    return query_variable(name, query, kind).all_value(".*")


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
            # For machines only: the watchdog, and what holds others back.
            "alertInstanceLabelFilter": '{severity!="none"}',
            "stateFilter": shown,
        }
    )
    return panel.datasource(source("prometheus")).unit("none").span(width).height(10)


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
    # Marks on bars of states read as states.
    states = [panel["id"] for panel in finished["panels"] if panel["type"] == "state-timeline"]
    for annotation in finished["annotations"]["list"]:
        annotation["filter"] = {"exclude": True, "ids": states}
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
    # Behind the questions that somebody really asks: one rarely has two of a kind.
    variable.hide(VariableHide.HIDE_VARIABLE)
    return variable.current(VariableOption(text=NAMES[kind], value=f"charter-{kind}"))


def _outages() -> dashboard.AnnotationQuery:
    """Mark each outage as one region, from its first to its last moment."""
    causes = "|".join(("JobFailed", "JobMissing", *CAUSES))
    firing = f'{promql.metric_name(external.ALERTS_FIRING)}{{alertname=~"{causes}"}}'
    expr = promql.aggregate("max", firing, "alertname", "job_id")
    return _annotation("Outages", "red", expr, "{{alertname}} {{job_id}}", "while it fired")


def _deployments() -> dashboard.AnnotationQuery:
    """Mark the moment at which a version appears beside or after another one."""
    running = f'{promql.metric_name(external.TARGET_INFO)}{{service_version!=""}}'
    before = f"{running} offset {_MARK_STEP}"
    versions = promql.aggregate("count", "{}", "job", external.SERVICE_VERSION)
    new = (
        f"{versions.format(running)} unless {versions.format(before)}"
        f" and on (job) {promql.aggregate('count', before, 'job')}"
    )
    title = "{{job}} {{service_version}}"
    return _annotation("Deployments", "blue", new, title, "a version appears")


def _annotation(
    name: str, color: str, expr: str, title: str, text: str
) -> dashboard.AnnotationQuery:
    annotation = dashboard.AnnotationQuery().name(name).icon_color(color).enable(True)
    annotation.datasource(source("prometheus")).expr(expr)
    annotation.target(prometheus.Dataquery().expr(expr).range().ref_id(name))
    annotation.title_format(title).text_format(text)
    return annotation.tag_keys("job").step(_MARK_STEP)


_MARK_STEP = "15s"
