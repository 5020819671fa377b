"""Alerts of connections and robots; all of a robot's alerts are one incident."""

from charter_otel.charter import CloseReason
from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards import external
from dashboards.promql import SITE, at_most, matching, metric_name
from dashboards.rules.alert import Alert, of_label
from dashboards.rules.expressions import (
    CONDITION,
    REAL,
    REASON,
    REFUSAL,
    ROBOT_ID,
    grown,
    living,
    robots_in,
    series,
    unexpected_closes,
)
from dashboards.rules.thresholds import Thresholds

OVERVIEW = "charter-fleet"
INCIDENTS = "charter-incidents"
PIPELINE = "charter-pipeline"
NAMED = 10
"""Robots that a page about many names."""

_CLOSES = metric_name(external.UNEXPECTED_CLOSES)
_LOST_SITES = metric_name(external.SITES_LOST)
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
        _refused(limits),
        _flapping(limits),
        _fleet(limits),
        _site(limits),
        _battery(limits),
        _cpu(limits),
        _omitted(limits),
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
        expr=f"{grown(series(metric, deployed, bucket, REAL, part='bucket'), window, 'job')} > 0.5",
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


def _refused(limits: Thresholds) -> Alert:
    """Return the alert of an instance without free files, which takes no robot either."""
    files = matching(semconv.CHARTER_REFUSAL_REASON, "files|descriptors", "=~")
    refused = series(semconv.CHARTER_CONNECTION_REFUSED, files)
    by = f"job, instance, {REFUSAL}"
    return Alert(
        name="ConnectionsRefused",
        severity="critical",
        expr=f"{grown(refused, limits.dropped_window, by)} > 0",
        summary="Connections are refused for want of open files at {{ $labels.instance }}",
        description=f"{{{{ $labels.instance }}}} has no files left ({of_label(REFUSAL)});"
        " robots that are connected stay so.",
        dashboard=PIPELINE,
    )


def _flapping(limits: Thresholds) -> Alert:
    metric = series(semconv.CHARTER_ROBOT_ONLINE)
    changes = f"topk({NAMED}, sum by ({ROBOT_ID}) (changes({metric}[{limits.flapping_window}])))"
    return Alert(
        name="RobotFlapping",
        severity="warning",
        expr=f"{robots_in('flapping')} > 0",
        summary="Robots connect and disconnect again and again",
        description=f"{{{{ $value }}}} robots come and go; most often {_named(changes)}.",
        dashboard=INCIDENTS,
        traces=_CONNECTIONS,
        keep=limits.reading_keep,
    )


def rules(limits: Thresholds) -> list[dict[str, str]]:
    """Return the recording rules: what each site lost lately, and which sites are lost."""
    by, labelled = f"job, {SITE}", f'{SITE}!=""'
    matcher = matching(semconv.CHARTER_ROBOT_CONDITION, "lost")
    lost = _sum(by, series(semconv.CHARTER_ROBOT_CONDITION_COUNT, matcher, labelled))
    online = _sum(by, series(semconv.CHARTER_CONNECTION_ACTIVE, labelled))
    robots = f"({lost} + ({online} or 0 * {lost}))"
    most = f"clamp_min({limits.site_share} * {robots}, {limits.fleet_robots})"
    return [
        {"record": _CLOSES, "expr": unexpected_closes(limits.fleet_window, by)},
        {"record": _LOST_SITES, "expr": f"{lost} >= {most}"},
    ]


def _fleet(limits: Thresholds) -> Alert:
    """Return the alert of a loss that is not one site's.

    What the site with the greatest loss has lost is told of by its own alert.
    """
    lost = robots_in("lost")
    online = f"sum by (job) ({living(series(semconv.CHARTER_CONNECTION_ACTIVE))})"
    many = f"clamp_min({limits.fleet_share} * ({lost} + {online}), {limits.fleet_robots})"
    closes = f"sum by (job) ({_CLOSES})"
    of_a_site = f"{_CLOSES} and on (job, {SITE}) {_LOST_SITES}"
    return Alert(
        name="FleetDisconnected",
        severity="critical",
        expr=(
            f"{lost}\n"
            f"and on (job) {_elsewhere(lost, _LOST_SITES)} >= {many}\n"
            f"and on (job) (\n"
            f"  {_elsewhere(closes, of_a_site)} >= {many}\n"
            f'  or ALERTS{{alertname="FleetDisconnected", alertstate="firing"}}\n'
            f")"
        ),
        summary="Many robots lost their connection at once",
        description="{{ $value }} robots are lost, and nobody meant it; where they have labels,"
        f" most of them {_most_lost()}.",
        dashboard=OVERVIEW,
        traces=_CONNECTIONS,
        hold=limits.fleet_for,
        keep=limits.fleet_keep,
    )


def _site(limits: Thresholds) -> Alert:
    """Return the alert of a site that is lost, where robots are labelled with theirs."""
    return Alert(
        name="SiteDisconnected",
        severity="critical",
        expr=(
            f"{_LOST_SITES}\n"
            f"and on (job, {SITE}) (\n"
            f"  {_CLOSES} >= {limits.fleet_robots}\n"
            f'  or ALERTS{{alertname="SiteDisconnected", alertstate="firing"}}\n'
            f")"
        ),
        summary=f"Most robots of {of_label(SITE)} lost their connection at once",
        description=f"{{{{ $value }}}} robots of {of_label(SITE)} are lost, and nobody meant it.",
        dashboard=OVERVIEW,
        traces=_CONNECTIONS,
        keep=limits.fleet_keep,
    )


def _elsewhere(every: str, of_sites: str) -> str:
    """Return a number without what the site has of it that has the most."""
    return f"({every} - (max by (job) ({of_sites}) or 0 * {every}))"


def _sum(by: str, selector: str) -> str:
    return f"sum by ({by}) ({living(selector)})"


def _most_lost() -> str:
    """Return the template that names the sites that lost most robots."""
    matcher = matching(semconv.CHARTER_ROBOT_CONDITION, "lost")
    lost = series(semconv.CHARTER_ROBOT_CONDITION_COUNT, matcher, f'{SITE}!=""')
    return (
        f"{{{{ range query `topk(3, sum by ({SITE}) ({lost}))` }}}}at {{{{ .Labels.{SITE} }}}}"
        f" ({{{{ .Value }}}}) {{{{ end }}}}"
    )


def _omitted(limits: Thresholds) -> Alert:
    omitted = living(series(semconv.CHARTER_ROBOT_OMITTED))
    return Alert(
        name="RobotsOmitted",
        severity="warning",
        expr=f"sum by (job, {CONDITION}) ({omitted}) > 0",
        summary=f"More robots are {of_label(CONDITION)} than have series of their own",
        description=f"{{{{ $value }}}} robots in the condition {of_label(CONDITION)} are counted,"
        " but have no series: pages and panels of single robots do not name them.",
        dashboard=OVERVIEW,
        traces=_CONNECTIONS,
        hold=limits.omitted_for,
    )


def _battery(limits: Thresholds) -> Alert:
    charge = _value(semconv.CHARTER_ROBOT_BATTERY_CHARGE)
    return _reading(
        name="LowBattery",
        expr=(
            f"{charge} < {limits.battery_low}\n"
            f"or {charge} < {limits.battery_recovered} {_still('LowBattery')}"
        ),
        summary=f"Battery of robot {_NAME} is low",
        description=f"{_NAME} has {{{{ $value | humanizePercentage }}}} left.",
        hold=limits.battery_for,
        keep=limits.reading_keep,
    )


def _cpu(limits: Thresholds) -> Alert:
    usage = _value(semconv.CHARTER_ROBOT_CPU_UTILIZATION)
    return _reading(
        name="HighCpu",
        expr=(
            f"{usage} > {limits.cpu_high}\nor {usage} > {limits.cpu_recovered} {_still('HighCpu')}"
        ),
        summary=f"CPU usage of robot {_NAME} is high",
        description=f"{_NAME} uses {{{{ $value | humanizePercentage }}}} of its CPU.",
        hold=limits.cpu_for,
        keep=limits.reading_keep,
    )


def _still(alert: str) -> str:
    """Return the condition that the robot's alert fires already."""
    return f'and on ({_ROBOT}) ALERTS{{alertname="{alert}", alertstate="firing"}}'


def _value(metric: Metric) -> str:
    # A robot that moved has a series of the instance that it left, for a while.
    return f"min by ({_ROBOT}) ({living(series(metric, REAL))})"


def _named(robots: str) -> str:
    """Return the template that names the robots of a query."""
    return (
        f"{{{{ range query `{robots}` }}}}"
        f"{{{{ if gt .Value 0.0 }}}}{{{{ .Labels.{ROBOT_ID} }}}} {{{{ end }}}}{{{{ end }}}}"
    )


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
