"""The panels of the house: each with a title, a description, a unit and a data source variable."""

from dataclasses import replace
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
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
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    SpecialValueMap,
    SpecialValueMatch,
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

from charter_otel.otel.semconv import Metric
from dashboards.links import column_links
from dashboards.promql import per_step, total
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


COUNT = "locale"
"""The unit of what is counted: all its digits, none after the point."""
NO_DATA = "no data"
NEUTRAL = "text"
"""The colour of what is neither good nor bad."""
SHORTEST_BAR = "20s"
"""A bar covers several exports and scrapes, so that what happened once is one bar."""
MEANING = {
    "failed|error|server_error|server_lost|connection_lost|heartbeat_timeout": "red",
    "protocol_error|message_too_big|invalid_reading|invalid_json|unauthorized|forbidden": "orange",
    "rate_limited|too_many_connections|invalid_robot_id|cancelled|late|overlap": "yellow",
    "completed|accepted|reading|client_disconnect": "green",
    "server_shutdown|superseded|token_expired|shutting_down|started|pending|ping": "blue",
}
"""One colour for one thing, on every dashboard: red is lost or broken, orange refused as invalid,
yellow refused for now or given up, green as it should be, blue on purpose."""

_P = TypeVar("_P", bound=_Dressable)


def source(kind: str) -> shapes.DataSourceRef:
    """Refer to the data source that the dashboard's variable names."""
    return shapes.DataSourceRef(type_val=kind, uid=f"${{{kind}_datasource}}")


def question(title: str, content: str) -> text.Panel:
    """Say at the top what the dashboard answers and how to read it."""
    panel = text.Panel().title(title).description("The question that this dashboard answers.")
    return panel.mode(TextMode.MARKDOWN).content(content).transparent(True).span(24).height(3)


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str = COUNT,
    steps: Steps = (),
    states: dict[str, tuple[str, str]] | None = None,
    decimals: int | None = None,
    width: int = 4,
) -> stat.Panel:
    """Show one number of now, or one word for it; grey where nobody says anything.

    The query is instant: the last value of a range would stand for as long as the range is.
    """
    asked = tuple(replace(query, now=True) for query in queries)
    panel = _dressed(stat.Panel(), title, description, asked, (width, 4))
    panel.unit(unit).thresholds(_thresholds(steps)).mappings(_mappings(states or {}) + _UNKNOWN)
    panel.no_value(NO_DATA)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_mode(shapes.BigValueColorMode.VALUE).graph_mode(shapes.BigValueGraphMode.NONE)
    if unit == COUNT and decimals is None:
        decimals = 0
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = COUNT,
    steps: Steps = (),
    stacked: bool = False,
    maximum: float | None = None,
    logarithmic: bool = False,
    width: int = 8,
    height: int = 8,
) -> timeseries.Panel:
    """Show numbers over time; ``steps`` are dashed lines; ``stacked`` makes bars that add up.

    Counts that are all zero read as "none" on an axis up to 1; colours go by what a series is.
    """
    panel = _dressed(timeseries.Panel(), title, description, queries, (width, height))
    panel.unit(unit).min(0).thresholds(_thresholds(steps)).fill_opacity(8).line_width(1.5)
    panel.show_points(shapes.VisibilityMode.AUTO).span_nulls(False)
    panel.tooltip(
        common.VizTooltipOptions()
        .mode(shapes.TooltipDisplayMode.MULTI)
        .sort(shapes.SortOrder.DESCENDING)
    )
    legend = common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST)
    shown = ["sum"] if any(query.bars for query in queries) else ["lastNotNull", "max"]
    panel.legend(legend.placement(shapes.LegendPlacement.BOTTOM).show_legend(True).calcs(shown))
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.no_value("none" if unit == COUNT else NO_DATA)
    if unit == COUNT:
        panel.decimals(0).axis_soft_max(1)
    if logarithmic:
        scale = common.ScaleDistributionConfig().type(shapes.ScaleDistribution.LOG).log(10)
        panel.scale_distribution(scale).min(0.001)
    if steps:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(_style(steps)))
    for name, color in MEANING.items():
        fixed = {"mode": "fixed", "fixedColor": color}
        pattern = f"/^(.* )?({name})( .*)?$/"
        panel.override_by_regexp(pattern, [DynamicConfigValue(id_val="color", value=fixed)])
    if stacked:
        panel.draw_style(shapes.GraphDrawStyle.BARS).fill_opacity(70).line_width(0)
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    return panel if maximum is None else panel.max(maximum)


def heat(
    title: str, description: str, metric: Metric, *, width: int = 8, height: int = 8
) -> heatmap.Panel:
    """Show how a histogram's values are spread, over time."""
    buckets = total(per_step(metric, part="bucket"), "le")
    query = Query(buckets, "{{le}}", bars=True, heat=True)
    panel = _dressed(heatmap.Panel(), title, description, (query,), (width, height))
    panel.calculate(False).unit(metric.unit).no_value("none")
    panel.y_axis(heatmap.YAxisConfig().unit(metric.unit))
    return panel.color(heatmap.HeatmapColorOptions().scheme("Oranges").steps(32))


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
    panel.mappings(_mappings(states)).thresholds(_thresholds(())).no_value(NO_DATA)
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
    height: int = 10,
) -> bargauge.Panel:
    """Show one bar each for the few that stand out."""
    panel = _dressed(bargauge.Panel(), title, description, queries, (width, height))
    panel.unit(unit).min(0).thresholds(_thresholds(steps)).no_value("none")
    if unit == COUNT:
        panel.decimals(0)
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
    order: tuple[str, bool] = ("Time", True),
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
        order: The column by which rows are sorted, and whether the greatest comes first. Loki
            answers stream by stream, and a table does not sort by itself.
        width: In 24ths.
        height: In grid rows.
    """
    panel = _dressed(table.Panel(), title, description, queries, (width, height))
    panel.unit("none").thresholds(_thresholds(())).show_header(True).filterable(True)
    panel.no_value("none")
    panel.sort_by([common.TableSortByFieldState().display_name(order[0]).desc(order[1])])
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
        return search.table_type(SearchTableType.SPANS).datasource(source("tempo"))
    asked = prometheus.Dataquery().expr(query.expression).legend_format(query.legend)
    asked.datasource(source("prometheus"))
    if query.table:
        asked.format(PromQueryFormat.TABLE)
    if query.now:
        return asked.instant()
    if query.heat:
        asked.format(PromQueryFormat.HEATMAP)
    if query.bars:
        asked.interval(SHORTEST_BAR)
    # Exemplars belong to the buckets of histograms; elsewhere there are none to ask for.
    return asked.range().exemplar("_bucket{" in query.expression)


def _style(steps: Steps) -> shapes.GraphThresholdsStyleMode:
    """Return how limits are drawn: a line, and an area where it is bad to be below.

    The line between bad and good has the colour of what is above it, which reads as a target.
    """
    below_is_bad = steps[0][0] == 0
    style = shapes.GraphThresholdsStyleMode
    return style.AREA if below_is_bad else style.DASHED


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Return the steps; without any, a number means neither good nor bad."""
    base = "green" if steps else NEUTRAL
    if steps and steps[0][0] == 0:
        base = steps[0][1]
    made = [Threshold(value=None, color=base)]
    made += [Threshold(value=value, color=color) for value, color in steps if value != 0]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def _mappings(states: dict[str, tuple[str, str]]) -> list[ValueMapping]:
    options = {
        value: ValueMappingResult(text=word, color=color, index=index)
        for index, (value, (word, color)) in enumerate(states.items())
    }
    return [ValueMap(options=options)] if options else []


_UNKNOWN: list[ValueMapping] = [
    SpecialValueMap(
        options=DashboardSpecialValueMapOptions(
            match=SpecialValueMatch.NULL_AND_NAN,
            result=ValueMappingResult(text=NO_DATA, color=NEUTRAL, index=99),
        )
    )
]
"""Values that are unknown are neither good nor bad."""
