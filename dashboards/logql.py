"""From the registry's events and spans to LogQL and TraceQL.

Loki takes OTLP: `service.name` is the stream label `service_name`, attributes are structured
metadata with dots as underscores. Loki 3.7 and earlier do not keep the record's own event name. An
event is found by its attribute `charter.event.type`, which says the same.
https://grafana.com/docs/loki/latest/send-data/otel/
"""

from collections.abc import Mapping

from charter_otel.charter import EXPECTED_CLOSE_REASONS, EventType
from charter_otel.otel import semconv
from dashboards.promql import OF_GROUPS, label

STREAMS = (
    'service_name=~"$service", deployment_environment_name=~"$environment",'
    ' k8s_cluster_name=~"$cluster"'
)
"""The streams that a dashboard shows."""

EVENT_TYPE = label(semconv.CHARTER_EVENT_TYPE)
"""Loki's field of the event's type."""

# With `keepTime` alone the frame's own time stands beside the one that is kept.
_EXTRACTED = {"source": "labels", "format": "json", "replace": True, "keepTime": True}
_NUMBERS = {semconv.CHARTER_CONNECTION_DURATION_SECONDS}
"""Attributes that a table shows with a unit."""

COLUMNS: dict[str, dict[str, object]] = {
    "Time": {"custom.width": 170},
    "Robot": {"custom.width": 150},
    "Reason": {"custom.width": 150},
    "Duration": {"unit": "s", "decimals": 1, "custom.width": 100},
    "Job": {"custom.width": 200},
    "Error": {"custom.width": 180},
    "Message": {"custom.cellOptions": {"type": "auto", "wrapText": True}},
}
"""Overrides for the columns of records: a trace's id gets the room that is left."""

EXPECTED = "|".join(sorted(EXPECTED_CLOSE_REASONS))
"""Close reasons that somebody meant, as a pattern; `!~` leaves the others."""


def events(*types: EventType, where: tuple[str, ...] = ()) -> str:
    """Select the log records of events.

    Args:
        types: The event types; none stands for all, those of other programs included.
        where: Filters on attributes, as `filtered` gives them.
    """
    operator = "=" if len(types) == 1 else "=~"
    stages = [filtered(semconv.CHARTER_EVENT_TYPE, "|".join(types) or ".+", operator), *where]
    return f"{{{STREAMS}}} | {' | '.join(stages)}"


def filtered(attribute: str, value: str, operator: str = "=~") -> str:
    """Return a filter on an attribute."""
    return f'{label(attribute)}{operator}"{value}"'


def unexpected() -> str:
    """Return the filter that leaves disconnects that somebody should look at."""
    return filtered(semconv.CHARTER_CONNECTION_CLOSE_REASON, EXPECTED, "!~")


def lost_connections() -> str:
    """Select the unexpected ends of the chosen robots."""
    chosen = (filtered(semconv.CHARTER_ROBOT_ID, "$robot"), *OF_GROUPS)
    return events(EventType.TELEMETRY_CONNECTION_CLOSED, where=(unexpected(), *chosen))


def of_robot_or_job(robot: str) -> str:
    """Return the filter that keeps a robot's events; where all are chosen, also those of none."""
    return f'{label(semconv.CHARTER_ROBOT_ID)}=~"{robot}"'


def count(selection: str, *by: str) -> str:
    """Count records, keeping the attributes ``by``."""
    kept = f" by ({', '.join(label(attribute) for attribute in by)})" if by else ""
    return f"sum{kept} (count_over_time({selection} [$__auto]))"


def number_of(selection: str) -> str:
    """Count records of the time range; 0 where Loki knows of none."""
    return f"{count(selection)} or vector(0)"


def mean(selection: str, attribute: str) -> str:
    """Return the mean of an attribute's number, each record once."""
    sums = f"sum(sum_over_time({selection} | unwrap {label(attribute)} [$__auto]))"
    return f"{sums} / sum(count_over_time({selection} [$__auto]))"


def unwrapped(function: str, selection: str, attribute: str) -> str:
    """Aggregate an attribute's number over time, over all records."""
    return f"{function}({selection} | unwrap {label(attribute)} [$__auto]) by (service_name)"


def line(selection: str, *attributes: str) -> str:
    """Show the records as lines of attributes; a Charter event has no text of its own."""
    shown = " ".join(map(_shown, (EVENT_TYPE, *attributes)))
    return f"{selection} | line_format `{shown}`"


def _shown(attribute: str) -> str:
    value = f".{label(attribute)}"
    if attribute in _NUMBERS:
        return f'{{{{if {value}}}}}{{{{printf "%.2f" (float64 {value})}}}} s{{{{end}}}}'
    return f"{{{{{value}}}}}"


def failed_spans(*names: str) -> str:
    """Select traces with a failed span of one of the names, in TraceQL."""
    pattern = "|".join(name.replace(".", "[.]") for name in names)
    return (
        f'{{ resource.service.name =~ "$service" && name =~ "{pattern}" && status = error }}'
        f" | select(span.{semconv.CHARTER_ROBOT_ID}, span.{semconv.ERROR_TYPE})"
    )


def table(columns: Mapping[str, str]) -> tuple[tuple[str, dict[str, object]], ...]:
    """Return the transformations that show records as rows: the time, then heading → attribute."""
    headings = {"Time": "Time", **{label(key): heading for heading, key in columns.items()}}
    numbers = [
        {"targetField": label(key), "destinationType": "number"}
        for key in columns.values()
        if key in _NUMBERS
    ]
    order = {name: at for at, name in enumerate(headings)}
    return (
        ("extractFields", _EXTRACTED),
        ("filterFieldsByName", {"include": {"names": list(headings)}}),
        # Loki's values are text, which sorts 9 after 80.
        ("convertFieldType", {"conversions": numbers}),
        ("organize", {"indexByName": order, "renameByName": headings}),
    )
