"""The panels of the house: each with a title, a description, a unit and a data source variable."""

from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    logs,
    loki,
    prometheus,
    stat,
    statetimeline,
    table,
    tempo,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsConfig,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType
from grafana_foundation_sdk.models.text import TextMode

from dashboards.links import column_links
from dashboards.queries import Query

Steps = tuple[tuple[float, str], ...]
"""From which value on a colour holds, ascending; below the first it is green."""


class _Dressable(Protocol):
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: shapes.DataSourceRef) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def with_target(self, target: Builder[Dataquery]) -> Self: ...


_P = TypeVar("_P", bound=_Dressable)


def source(kind: str) -> shapes.DataSourceRef:
    """Refer to the data source that the dashboard's variable names."""
    return shapes.DataSourceRef(type_val=kind, uid=f"${{{kind}_datasource}}")


def question(title: str, content: str) -> text.Panel:
    """Say at the top what the dashboard answers and how to read it."""
    panel = text.Panel().title(title).description("What this dashboard answers.")
    return panel.mode(TextMode.MARKDOWN).content(content).transparent(True).span(24).height(3)


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Steps = (),
    states: dict[str, tuple[str, str]] | None = None,
    reduce: str = "lastNotNull",
    decimals: int | None = None,
    width: int = 4,
) -> stat.Panel:
    """Show one number, or one word for it."""
    panel = _dressed(stat.Panel(), title, description, queries, (width, 4))
    panel.unit(unit).thresholds(_thresholds(steps)).mappings(_mappings(states or {}))
    panel.reduce_options(common.ReduceDataOptions().calcs([reduce]))
    panel.color_mode(shapes.BigValueColorMode.VALUE).graph_mode(shapes.BigValueGraphMode.AREA)
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Steps = (),
    stacked: bool = False,
    maximum: float | None = None,
    width: int = 8,
    height: int = 8,
) -> timeseries.Panel:
    """Show numbers over time; ``steps`` are dashed lines; ``stacked`` makes bars that add up."""
    panel = _dressed(timeseries.Panel(), title, description, queries, (width, height))
    panel.unit(unit).min(0).thresholds(_thresholds(steps)).fill_opacity(8).line_width(1.5)
    panel.show_points(shapes.VisibilityMode.AUTO).span_nulls(False)
    panel.tooltip(
        common.VizTooltipOptions()
        .mode(shapes.TooltipDisplayMode.MULTI)
        .sort(shapes.SortOrder.DESCENDING)
    )
    legend = common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST)
    panel.legend(legend.placement(shapes.LegendPlacement.BOTTOM).show_legend(True).calcs([]))
    if steps:
        dashed = common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(dashed)
    if stacked:
        panel.draw_style(shapes.GraphDrawStyle.BARS).fill_opacity(70).line_width(0)
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    return panel if maximum is None else panel.max(maximum)


def timeline(
    title: str,
    description: str,
    *queries: Query,
    states: dict[str, tuple[str, str]],
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """Show states over time: value → word and colour."""
    panel = _dressed(statetimeline.Panel(), title, description, queries, (width, height))
    panel.mappings(_mappings(states)).thresholds(_thresholds(()))
    panel.merge_values(True).show_value(shapes.VisibilityMode.NEVER).row_height(0.9)
    return panel.fill_opacity(75).line_width(0).per_page(20)


def ranking(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    steps: Steps = (),
    maximum: float | None = None,
    width: int = 8,
    height: int = 8,
) -> bargauge.Panel:
    """Show one bar each for the few that stand out."""
    panel = _dressed(bargauge.Panel(), title, description, queries, (width, height))
    panel.unit(unit).min(0).thresholds(_thresholds(steps))
    panel.orientation(shapes.VizOrientation.HORIZONTAL)
    panel.display_mode(shapes.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel if maximum is None else panel.max(maximum)


def rows(
    title: str,
    description: str,
    *queries: Query,
    transformations: tuple[tuple[str, dict[str, object]], ...] = (),
    columns: dict[str, dict[str, object]] | None = None,
    width: int = 12,
    height: int = 8,
) -> table.Panel:
    """Show a table; columns that hold a trace id or a robot id lead to its trace or its history.

    Args:
        title: What it shows.
        description: How to read it.
        queries: What it asks.
        transformations: Id and options of each, in order.
        columns: Column → what differs there: ``unit``, ``thresholds``, …
        width: In 24ths.
        height: In grid rows.
    """
    panel = _dressed(table.Panel(), title, description, queries, (width, height))
    panel.unit("none").thresholds(_thresholds(())).show_header(True).filterable(True)
    for identifier, options in transformations:
        panel.with_transformation(DataTransformerConfig(id_val=identifier, options=options))
    for column, properties in (columns or {}).items():
        panel.override_by_name(
            column,
            [DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()],
        )
    for pattern, links in column_links().items():
        panel.override_by_regexp(pattern, [DynamicConfigValue(id_val="links", value=links)])
    return panel


def records(
    title: str, description: str, *queries: Query, width: int = 12, height: int = 8
) -> logs.Panel:
    """Show log records, newest first; the details of each lead to its trace."""
    panel = _dressed(logs.Panel(), title, description, queries, (width, height))
    panel.show_time(True).enable_log_details(True).wrap_log_message(True)
    return panel.sort_order(shapes.LogsSortOrder.DESCENDING).unit("none")


def steps_of(steps: Steps) -> ThresholdsConfig:
    """Return thresholds for a column of a table."""
    return _thresholds(steps).build()


def _dressed(
    panel: _P, title: str, description: str, queries: tuple[Query, ...], size: tuple[int, int]
) -> _P:
    panel.title(title).description(description).span(size[0]).height(size[1])
    panel.datasource(source(queries[0].kind))
    for query in queries:
        panel.with_target(_target(query))
    return panel


def _target(query: Query) -> Builder[Dataquery]:
    if query.kind == "loki":
        target = loki.Dataquery().expr(query.expression).legend_format(query.legend)
        target.query_type("instant" if query.now else "range")
        return target.datasource(source("loki"))
    if query.kind == "tempo":
        search = tempo.Dataquery().query(query.expression).query_type("traceql").limit(20)
        return search.table_type(SearchTableType.TRACES).datasource(source("tempo"))
    asked = prometheus.Dataquery().expr(query.expression).legend_format(query.legend)
    asked.datasource(source("prometheus"))
    if query.table:
        asked.format(PromQueryFormat.TABLE)
    if query.now:
        return asked.instant()
    # Exemplars belong to the buckets of histograms; elsewhere there are none to ask for.
    return asked.range().exemplar("_bucket{" in query.expression)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    made = [Threshold(value=None, color="green" if not steps or steps[0][0] != 0 else steps[0][1])]
    made += [Threshold(value=value, color=color) for value, color in steps if value != 0]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def _mappings(states: dict[str, tuple[str, str]]) -> list[ValueMapping]:
    options = {
        value: ValueMappingResult(text=word, color=color, index=index)
        for index, (value, (word, color)) in enumerate(states.items())
    }
    return [ValueMap(options=options)] if options else []
