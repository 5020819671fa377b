"""Alerts of connections and robots; all of a robot's alerts are one incident."""

from charter_otel.charter import CloseReason
from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards.promql import at_most
from dashboards.rules.alert import Alert, of_label
from dashboards.rules.expressions import (
    REASON,
    ROBOT_ID,
    grown,
    series,
    unexpected_closes,
)
from dashboards.rules.thresholds import Thresholds

OVERVIEW = "charter-fleet"
INCIDENTS = "charter-incidents"

_ROBOT = f"job, {ROBOT_ID}"
_LABELS = {"robot_id": of_label(ROBOT_ID)}
_NAME = f"`{of_label(ROBOT_ID)}`"
_VARIABLES = {"robot": of_label(ROBOT_ID)}
_CONNECTIONS = f'{{ name = "{semconv.SPAN_CHARTER_CONNECTION}" && status = error }}'
_OF_ROBOT = f'{{ span.{semconv.CHARTER_ROBOT_ID} = "{of_label(ROBOT_ID)}" }}'


def alerts(limits: Thresholds) -> list[Alert]:
    """Return the alerts."""
    return [
        _disconnects(limits),
        _short(limits),
        _flapping(limits),
        _fleet(limits),
        _battery(limits),
        _cpu(limits),
    ]


def _disconnects(limits: Thresholds) -> Alert:
    window = limits.disconnects_window
    return Alert(
        name="UnexpectedDisconnects",
        severity="warning",
        expr=f"{unexpected_closes(window, f'job, {REASON}')} > 0",
        summary=f"Connections of robots end unexpectedly: {of_label(REASON)}",
        description=f"{{{{ $value | humanize }}}} connections ended with {of_label(REASON)}"
        f" within {window}.",
        dashboard=INCIDENTS,
        traces=_CONNECTIONS,
    )


def _short(limits: Thresholds) -> Alert:
    metric, window = semconv.CHARTER_CONNECTION_DURATION, limits.disconnects_window
    # A deployment ends every connection, however young.
    deployed = f'{REASON}!="{CloseReason.SERVER_SHUTDOWN}"'
    bucket = at_most(limits.short_connection_s)
    return Alert(
        name="ShortConnections",
        severity="warning",
        expr=f"{grown(series(metric, deployed, bucket, part='bucket'), window, 'job')} > 0.5",
        summary=f"Connections end within {limits.short_connection_s:g} s",
        description=f"{{{{ $value | humanize }}}} connections lasted less than"
        f" {limits.short_connection_s:g} s within {window}.",
        dashboard=INCIDENTS,
        # The span's own duration: Tempo compares an attribute that is a float with floats only.
        traces=(
            f'{{ name = "{semconv.SPAN_CHARTER_CONNECTION}"'
            f" && duration < {limits.short_connection_s:g}s }}"
        ),
    )


def _flapping(limits: Thresholds) -> Alert:
    changes = f"changes({series(semconv.CHARTER_ROBOT_ONLINE)}[{limits.flapping_window}])"
    return Alert(
        name="RobotFlapping",
        severity="warning",
        expr=f"sum by ({_ROBOT}) ({changes}) >= {limits.flapping_changes}",
        summary=f"Robot {_NAME} connects and disconnects again and again",
        description=f"The presence of {_NAME} changed {{{{ $value }}}} times"
        f" within {limits.flapping_window}.",
        dashboard=OVERVIEW,
        variables=_VARIABLES,
        traces=_OF_ROBOT,
        labels=_LABELS,
    )


def _fleet(limits: Thresholds) -> Alert:
    window, online = limits.fleet_window, series(semconv.CHARTER_ROBOT_ONLINE)
    seen = f"max by ({_ROBOT}) (max_over_time({online}[{window}])) == 1"
    there = f"max by ({_ROBOT}) ({online}) == 1"
    lost = f"count by (job) (\n  {seen}\n  unless on ({_ROBOT})\n  {there}\n)"
    closes = unexpected_closes(window, "job")
    return Alert(
        name="FleetDisconnected",
        severity="critical",
        expr=(
            f"{lost} >= {limits.fleet_robots}\n"
            f"and on (job) {lost} / on (job) count by (job) ({seen}) > {limits.fleet_share}\n"
            f"and on (job) {closes} >= {limits.fleet_robots}"
        ),
        summary="Many robots lost their connection at once",
        description=f"{{{{ $value }}}} robots that were online within {window} are not any more,"
        " and nobody meant it.",
        dashboard=OVERVIEW,
        traces=_CONNECTIONS,
        hold=limits.fleet_for,
    )


def _battery(limits: Thresholds) -> Alert:
    return _reading(
        name="LowBattery",
        expr=f"{_value(semconv.CHARTER_ROBOT_BATTERY_CHARGE)} < {limits.battery_low}",
        summary=f"Battery of robot {_NAME} is low",
        description=f"{_NAME} has {{{{ $value | humanizePercentage }}}} left.",
        hold=limits.battery_for,
        keep=limits.reading_keep,
    )


def _cpu(limits: Thresholds) -> Alert:
    return _reading(
        name="HighCpu",
        expr=f"{_value(semconv.CHARTER_ROBOT_CPU_UTILIZATION)} > {limits.cpu_high}",
        summary=f"CPU usage of robot {_NAME} is high",
        description=f"{_NAME} uses {{{{ $value | humanizePercentage }}}} of its CPU.",
        hold=limits.cpu_for,
        keep=limits.reading_keep,
    )


def _value(metric: Metric) -> str:
    # After a change of instance two series of a robot are there for a while.
    return f"min by ({_ROBOT}) ({series(metric)})"


def _reading(
    *, name: str, expr: str, summary: str, description: str, hold: str, keep: str
) -> Alert:
    return Alert(
        name=name,
        severity="warning",
        expr=expr,
        summary=summary,
        description=description,
        dashboard=OVERVIEW,
        variables=_VARIABLES,
        traces=_OF_ROBOT,
        labels=_LABELS,
        hold=hold,
        keep=keep,
    )
