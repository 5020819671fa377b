"""Every query asks for what the registry declares and the pipeline produces."""

import re

import pytest
from promql_parser import AggregateExpr

from charter_otel.charter import EventType
from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards import external, promql
from support import runbooks
from support.dashboards import Target, dashboards, declared, every, filled, label_values, variables
from support.promql import named_selectors, nodes

PLACES = {"deployment_environment_name", "k8s_cluster_name", *promql.GROUPS.values()}
"""Resource attributes that the Collector puts on the service's series and Loki on streams, and the
labels of robots that a dashboard can choose."""
EVERYWHERE = {"job", "instance", "__name__", *PLACES}
ATTRIBUTES = {
    value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)
}
RECORD = {promql.label(key) for key in ATTRIBUTES} | {"trace_id", "span_id"}
"""Fields of an event's record that every Loki 3 has: its attributes and its trace."""
STREAM = {"service_name", *PLACES}
"""The labels that Loki indexes OTLP by."""


def where(target: Target) -> str:
    """Name a test by the panel."""
    return target.where


@pytest.mark.parametrize(
    ("metric", "part", "name"),
    [
        (semconv.CHARTER_JOB_RUN_DURATION, "bucket", "charter_job_run_duration_seconds_bucket"),
        (semconv.CHARTER_EVENT_EMITTED, "", "charter_event_emitted_total"),
        (semconv.CHARTER_ROBOT_BATTERY_CHARGE, "", "charter_robot_battery_charge_ratio"),
        (semconv.CHARTER_CONNECTION_ACTIVE, "", "charter_connection_active"),
        (semconv.CHARTER_JOB_LAST_SUCCESS, "", "charter_job_last_success_seconds"),
        (external.COLLECTOR_MEMORY, "", "otelcol_process_memory_rss_bytes"),
        (external.COLLECTOR_UPTIME, "", "otelcol_process_uptime_seconds_total"),
    ],
)
def test_names(metric: Metric, part: promql.Part, name: str) -> None:
    """Dots become underscores, units and kinds suffixes; `test_live` sees the Collector agree."""
    assert promql.metric_name(metric, part) == name


@pytest.mark.parametrize(
    ("metric", "part"),
    [(semconv.CHARTER_JOB_RUN_DURATION, ""), (semconv.CHARTER_EVENT_EMITTED, "bucket")],
)
def test_parts(metric: Metric, part: promql.Part) -> None:
    """A histogram is asked for one of its parts, and nothing else has any."""
    with pytest.raises(ValueError, match="parts of histograms"):
        promql.metric_name(metric, part)


def test_unknown_attribute() -> None:
    """Selecting by an attribute that the registry took from a metric fails the build."""
    with pytest.raises(ValueError, match=r"charter\.event\.emitted has no attribute"):
        promql.select(semconv.CHARTER_EVENT_EMITTED, promql.matching(semconv.CHARTER_ROBOT_ID, "x"))


@pytest.mark.parametrize("target", every("prometheus"), ids=where)
def test_metrics_exist(target: Target) -> None:
    """Every metric of a query is one that the registry, the SDK or the Collector yields."""
    assert {name for name, _ in named_selectors(filled(target.text))} <= set(declared())


@pytest.mark.parametrize("target", every("prometheus"), ids=where)
def test_a_month_of_a_thousand_robots_is_loaded(target: Target) -> None:
    """Subqueries look at no more samples than Prometheus loads, which is 50 million."""
    subqueries = re.findall(r"\[(\w+|\$__range):(\w+)\]", target.text)
    looks = sum(
        promql.seconds(over.replace("$__range", "30d")) / promql.seconds(step)
        for over, step in subqueries
    )
    assert 1_000 * looks < 50e6


@pytest.mark.parametrize("target", every("prometheus"), ids=where)
def test_labels_exist(target: Target) -> None:
    """A query selects and groups only by labels that the metric has."""
    known = declared()
    possible = set(EVERYWHERE)
    for name, selector in named_selectors(filled(target.text)):
        has = {promql.label(key) for key in known[name].attributes} | EVERYWHERE
        has |= {"le"} if name.endswith("_bucket") else set()
        assert {matcher.name for matcher in selector.matchers.matchers} <= has
        possible |= has
    for aggregation in nodes(filled(target.text), AggregateExpr):
        if aggregation.modifier is not None:
            assert set(aggregation.modifier.labels) <= possible


def test_variables() -> None:
    """A variable offers values of a label that exists."""
    known = declared()
    for dashboard in dashboards().values():
        for variable in variables(dashboard, "query"):
            selector, name = label_values(variable)
            if variable["datasource"]["type"] == "loki":
                assert (selector, name in STREAM) == ("", True)
            elif not selector:
                assert name in PLACES
            else:
                for metric, _ in named_selectors(filled(selector)):
                    labels = {promql.label(key) for key in known[metric].attributes}
                    assert name in labels | EVERYWHERE


def test_legends() -> None:
    """A legend names labels that the query leaves, or the panel shows nothing between words."""
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                for name in re.findall(r"{{(\w+)}}", target.get("legendFormat", "")):
                    assert name in target["expr"], panel["title"]


@pytest.mark.parametrize("target", [*every("loki"), *runbooks.logql()], ids=where)
def test_fields_exist(target: Target) -> None:
    """LogQL selects streams by service, and records by what an event's record has."""
    stream, _, rest = filled(target.text).partition("}")
    assert set(re.findall(r"(\w+)\s*=~?", stream)) <= STREAM
    for field in _fields(rest):
        assert field in RECORD | STREAM, field


@pytest.mark.parametrize("target", every("loki"), ids=where)
def test_event_names_exist(target: Target) -> None:
    """LogQL names events of the Charter, and filters by what these events carry."""
    (names,) = set(re.findall(r'charter_event_type=~?"([^"]+)"', target.text))
    # A program's own types are unknown here; the fields of a query for all are the Charter's.
    types = set(EventType) if names == ".+" else set(names.split("|"))
    assert types <= set(EventType)
    envelope = {promql.label(key) for key in ATTRIBUTES if key.startswith("charter.event.")}
    carried = {promql.label(key) for kind in types for _, key in semconv.EVENTS[kind]}
    for field in _fields(target.text.partition("}")[2]):
        assert field in carried | envelope | STREAM | {"trace_id"}, field


@pytest.mark.parametrize("target", every("tempo"), ids=where)
def test_attributes_exist(target: Target) -> None:
    """TraceQL names spans and attributes of the registry."""
    spans = {value for name, value in vars(semconv).items() if name.startswith("SPAN_")}
    (names,) = re.findall(r'&& name =~ "([^"]+)"', target.text)
    assert {name.replace("[.]", ".") for name in names.split("|")} <= spans
    assert set(re.findall(r"span\.([\w.]+)", target.text)) <= ATTRIBUTES
    assert set(re.findall(r"resource\.([\w.]+)", target.text)) <= {"service.name"}


def _fields(pipeline: str) -> set[str]:
    """Return the fields that a pipeline and what surrounds it filter, group, unwrap and show."""
    filters = re.findall(r'(\w+)\s*[=!]~?\s*"', pipeline)
    shown = re.findall(r"{{\.(\w+)}}", pipeline)
    unwrapped = re.findall(r"unwrap (\w+)", pipeline)
    grouped = [
        name for names in re.findall(r"by \(([^)]+)\)", pipeline) for name in names.split(", ")
    ]
    return {*filters, *shown, *unwrapped, *grouped}
