"""The provisioning files hold to Grafana's documented schema, and to each other."""

from pathlib import Path
from typing import Literal

import msgspec
import yaml

from dashboards.panels import source
from support.dashboards import ROOT, dashboards, variables

FILES = ROOT / "provisioning"


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A part of a file in which every key is known."""


class Exemplar(Strict):
    """https://grafana.com/docs/grafana/latest/datasources/prometheus/configure/#provision-the-data-source."""

    name: str
    datasource_uid: str


class PrometheusOptions(Strict):
    """As above."""

    http_method: Literal["POST", "GET"]
    prometheus_type: Literal["Prometheus", "Mimir", "Cortex", "Thanos"]
    time_interval: str
    exemplar_trace_id_destinations: list[Exemplar]


class DerivedField(Strict):
    """https://grafana.com/docs/grafana/latest/datasources/loki/configure/#derived-fields."""

    name: str
    matcher_type: Literal["label", "regex"]
    matcher_regex: str
    url: str
    url_display_label: str
    datasource_uid: str


class LokiOptions(Strict):
    """As above."""

    max_lines: int
    derived_fields: list[DerivedField]


class Tag(Strict):
    """A span attribute, and the label that it is in Loki."""

    key: str
    value: str


class TracesToLogs(Strict):
    """https://grafana.com/docs/grafana/latest/datasources/tempo/configure-tempo-data-source/#trace-to-logs."""

    datasource_uid: str
    span_start_time_shift: str
    span_end_time_shift: str
    tags: list[Tag]
    filter_by_trace_id: bool = msgspec.field(name="filterByTraceID")
    filter_by_span_id: bool = msgspec.field(name="filterBySpanID")
    custom_query: bool
    query: str


class NodeGraph(Strict):
    """As above."""

    enabled: bool


class TempoOptions(Strict):
    """As above."""

    traces_to_logs_v2: TracesToLogs
    node_graph: NodeGraph


class AlertmanagerOptions(Strict):
    """https://grafana.com/docs/grafana/latest/datasources/alertmanager/#provision-the-alertmanager-data-source."""

    implementation: Literal["prometheus", "mimir", "cortex"]
    handle_grafana_managed_alerts: bool


class Datasource(Strict):
    """https://grafana.com/docs/grafana/latest/administration/provisioning/#data-sources."""

    name: str
    uid: str
    type: Literal["prometheus", "loki", "tempo", "alertmanager"]
    access: Literal["proxy"]
    url: str
    json_data: dict[str, object]
    is_default: bool = False


class Datasources(Strict):
    """The file of data sources."""

    api_version: Literal[1]
    prune: bool
    datasources: list[Datasource]


class Folder(Strict):
    """A provider's folder of dashboards."""

    path: str
    folders_from_files_structure: bool


class Provider(Strict):
    """https://grafana.com/docs/grafana/latest/administration/provisioning/#dashboards."""

    name: str
    type: Literal["file"]
    folder: str
    folder_uid: str
    disable_deletion: bool
    allow_ui_updates: bool
    update_interval_seconds: int
    options: Folder


class Providers(Strict):
    """The file of dashboard providers."""

    api_version: Literal[1]
    providers: list[Provider]


OPTIONS: dict[str, type[Strict]] = {
    "prometheus": PrometheusOptions,
    "loki": LokiOptions,
    "tempo": TempoOptions,
    "alertmanager": AlertmanagerOptions,
}


def read(name: str) -> object:
    """Read one of the files."""
    return yaml.safe_load((FILES / name).read_text())


def datasources() -> dict[str, Datasource]:
    """Return the data sources by type."""
    file = msgspec.convert(read("datasources/charter.yaml"), Datasources)
    return {item.type: item for item in file.datasources}


def options(kind: str) -> Strict:
    """Return the options of one data source, checked."""
    return msgspec.convert(datasources()[kind].json_data, OPTIONS[kind])


def test_data_sources() -> None:
    """There are the four, with fixed uids; one is the default."""
    found = datasources()
    assert {item.uid for item in found.values()} == {f"charter-{kind}" for kind in OPTIONS}
    assert [item.name for item in found.values() if item.is_default] == ["Prometheus"]
    for kind in OPTIONS:
        assert options(kind)


def test_variables_default_to_them() -> None:
    """A fresh dashboard shows these data sources without a choice."""
    for dashboard in dashboards().values():
        for variable in variables(dashboard, "datasource"):
            assert variable["current"]["value"] == datasources()[variable["query"]].uid
            assert source(variable["query"]).uid == f"${{{variable['name']}}}"


def test_metric_to_trace() -> None:
    """An exemplar's trace id, as the Collector names it, leads to Tempo."""
    found = options("prometheus")
    assert isinstance(found, PrometheusOptions)
    assert found.exemplar_trace_id_destinations == [
        Exemplar(name="trace_id", datasource_uid="charter-tempo")
    ]
    assert found.time_interval == "5s"


def test_log_to_trace() -> None:
    """A record's trace id, which Loki keeps as structured metadata, leads to Tempo."""
    found = options("loki")
    assert isinstance(found, LokiOptions)
    (field,) = found.derived_fields
    assert (field.matcher_type, field.matcher_regex) == ("label", "trace_id")
    # A dollar sign that Grafana itself shall read is doubled: the file is expanded first.
    assert (field.url, field.datasource_uid) == ("$${__value.raw}", "charter-tempo")


def test_trace_to_logs() -> None:
    """A span leads to the records of its trace, by the labels that Loki has."""
    found = options("tempo")
    assert isinstance(found, TempoOptions)
    to_logs = found.traces_to_logs_v2
    assert to_logs.datasource_uid == "charter-loki"
    assert to_logs.tags == [Tag(key="service.name", value="service_name")]
    assert to_logs.query == (
        '{$${__tags}} | trace_id="$${__trace.traceId}"'
        " | line_format `{{ or __line__ .charter_event_type }}`"
    )


def test_dashboards_are_provided() -> None:
    """A provider loads what is generated, and nobody edits it in the browser."""
    (provider,) = msgspec.convert(read("dashboards/charter.yaml"), Providers).providers
    assert not provider.allow_ui_updates
    assert Path(provider.options.path.strip("${}")).name == "CHARTER_DASHBOARDS_DIR"
