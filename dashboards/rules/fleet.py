"""Alerts of connections and robots; all of a robot's alerts are one incident."""

from collections.abc import Iterable
from itertools import takewhile

from charter_otel.charter import CloseReason
from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from charter_otel.telemetry.labels import OTHER
from dashboards import external
from dashboards.promql import GROUPS, at_most, matching, metric_name
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
from dashboards.rules.service import inhibitor
from dashboards.rules.thresholds import Thresholds

OVERVIEW = "charter-fleet"
INCIDENTS = "charter-incidents"
PIPELINE = "charter-pipeline"
NAMED = 10
"""Robots that a page about many names."""
OF_JOB = "job=%q"
"""The matcher of the alert's own job in a query of its text."""

_CLOSES = metric_name(external.UNEXPECTED_CLOSES)
_MANY_CLOSES = metric_name(external.MANY_CLOSES)
_LOST_GROUPS = metric_name(external.GROUPS_LOST)
SITE = GROUPS["site"]
_LOST, _KNOWN = metric_name(external.ROBOTS_LOST), metric_name(external.ROBOTS_KNOWN)
_OF_GROUPS = ("SiteDisconnected", "GroupDisconnected")
_IS_LOST = matching(semconv.CHARTER_ROBOT_CONDITION, "lost")
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
        _group(limits),
        _battery(limits),
        _cpu(limits),
        _omitted(limits),
        _storm(limits),
    ]


def _disconnects(limits: Thresholds) -> Alert:
    window = limits.disconnects_window
    most = f"of all that ended unexpectedly within {limits.fleet_window}, most of"
    return Alert(
        name="UnexpectedDisconnects",
        severity="warning",
        expr=f"{unexpected_closes(window, f'job, {REASON}')} > 0",
        summary=f"Connections of robots end unexpectedly: {of_label(REASON)}",
        description=f"{{{{ $value | humanize }}}} connections ended with {of_label(REASON)}"
        f" within {window}{_most(external.UNEXPECTED_CLOSES, text=most)}.",
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
    flapping = matching(semconv.CHARTER_ROBOT_CONDITION, "flapping")
    presence = series(semconv.CHARTER_ROBOT_ONLINE, OF_JOB, REAL)
    changes = f"sum by ({ROBOT_ID}) (changes({presence}[{limits.flapping_window}]))"
    # Who left and is back between two exports is in no series.
    names = (
        f"{{{{ range {_asked(f'topk({NAMED}, {changes} > 1)')} }}}} `{{{{ .Labels.{ROBOT_ID} }}}}`"
        "{{ else }} metrics name none of them, the log does (see the runbook){{ end }}"
    )
    return Alert(
        name="RobotFlapping",
        severity="warning",
        expr=f"{robots_in('flapping')} > 0",
        summary="Robots connect and disconnect again and again",
        description=f"{{{{ $value }}}} robots come and go:{names}"
        f"{_most(semconv.CHARTER_ROBOT_CONDITION_COUNT, flapping)}.",
        dashboard=INCIDENTS,
        traces=_CONNECTIONS,
        keep=limits.reading_keep,
    )


def rules(limits: Thresholds) -> list[dict[str, str]]:
    """Return the recording rules: what was lost lately, and which groups of robots are lost."""
    by = ", ".join(("job", *GROUPS.values()))
    lost = living(series(semconv.CHARTER_ROBOT_CONDITION_COUNT, _IS_LOST))
    online = living(series(semconv.CHARTER_CONNECTION_ACTIVE))
    return [
        {"record": _LOST, "expr": f"sum by ({by}) ({lost})"},
        {"record": _KNOWN, "expr": f"sum by ({by}) ({lost} or ({online}))"},
        {"record": _CLOSES, "expr": unexpected_closes(limits.fleet_window, by)},
        {"record": _MANY_CLOSES, "expr": f"sum by (job) ({_CLOSES}) >= {_many(limits)}"},
        *({"record": _LOST_GROUPS, "expr": _lost(limits, group)} for group in GROUPS.values()),
    ]


def _lost(limits: Thresholds, group: str) -> str:
    """Return what each site, or each group of another label, has lost that lost most of its robots.

    What the labels before it explain is not counted again, also while its robots come back.
    """
    lost, known = (_unexplained(robots, group) for robots in (_LOST, _KNOWN))
    return f"{lost} >= clamp_min({limits.site_share} * {known}, {limits.fleet_robots})"


def _unexplained(recorded: str, group: str) -> str:
    """Return what there is of each group of a label that no group of a label before it explains."""
    before = takewhile(lambda label: label != group, GROUPS.values())
    explained = "".join(f" unless on (job, {label}) ({_lost_of(label)})" for label in before)
    # Values beyond the cap: no model and no firmware, but many of them.
    single = f'{group}!=""' if group == SITE else f'{group}!~"|{OTHER}"'
    return f"sum by (job, {group}) ({recorded}{{{single}}}{explained})"


def _lost_of(label: str) -> str:
    """Return the groups of a label that are lost, or whose alert goes on."""
    return f'{_LOST_GROUPS}{{{label}!=""}} or {_firing(label)}'


def _firing(label: str) -> str:
    return f'ALERTS{{alertname=~"{"|".join(_OF_GROUPS)}", alertstate="firing", {label}!=""}}'


def _fleet(limits: Thresholds) -> Alert:
    """Return the alert of a loss that is not one site's.

    What the site with the greatest loss has lost is told of by its own alert.
    """
    lost, closes, many = f"sum by (job) ({_LOST})", f"sum by (job) ({_CLOSES})", _many(limits)
    lost_sites = f'{_LOST_GROUPS}{{{SITE}!=""}}'
    of_a_site = f"sum by (job, {SITE}) ({_CLOSES}) and on (job, {SITE}) {lost_sites}"
    return Alert(
        name="FleetDisconnected",
        severity="critical",
        expr=(
            f"{lost}\n"
            f"and on (job) {_elsewhere(lost, lost_sites)} >= {many}\n"
            f"and on (job) (\n"
            f"  {_elsewhere(closes, of_a_site)} >= {many}\n"
            f'  or ALERTS{{alertname="FleetDisconnected", alertstate="firing"}}\n'
            f")"
        ),
        summary="Many robots lost their connection at once",
        description="{{ $value }} robots are lost, and nobody meant it"
        f"{_most(external.ROBOTS_LOST)}.",
        dashboard=OVERVIEW,
        traces=_CONNECTIONS,
        hold=limits.fleet_for,
        keep=limits.fleet_keep,
    )


def _site(limits: Thresholds) -> Alert:
    """Return the alert of a site that is lost, where robots are labelled with theirs."""
    return _of_group(limits, "SiteDisconnected", [SITE], of_label(SITE))


def _group(limits: Thresholds) -> Alert:
    """Return the alert of another group that is lost, such as the robots of a new firmware."""
    others = {name: label for name, label in GROUPS.items() if label != SITE}
    named = "".join(
        f"{{{{ with $labels.{label} }}}}{name} {{{{ . }}}}{{{{ end }}}}"
        for name, label in others.items()
    )
    return _of_group(limits, "GroupDisconnected", others.values(), named)


def _of_group(limits: Thresholds, name: str, labels: Iterable[str], named: str) -> Alert:
    return Alert(
        name=name,
        severity="critical",
        expr="\nor ".join(
            f'{_LOST_GROUPS}{{{label}!=""}}\n'
            f"and on (job, {label}) (\n"
            f"  {_unexplained(_CLOSES, label)} >= {limits.fleet_robots}\n"
            f"  or {_firing(label)}\n"
            f")"
            for label in labels
        ),
        summary=f"Most robots of {named} lost their connection at once",
        description=f"{{{{ $value }}}} robots of {named} are lost, and nobody meant it.",
        dashboard=OVERVIEW,
        traces=_CONNECTIONS,
        keep=limits.fleet_keep,
    )


def _many(limits: Thresholds) -> str:
    """Return how many robots are too many to be told of one by one."""
    return f"clamp_min({limits.fleet_share} * sum by (job) ({_KNOWN}), {limits.fleet_robots})"


def _storm(limits: Thresholds) -> Alert:
    """Return the alert that holds back the robots' own pages where very many come and go.

    Loki shows each of them for a while after it was lost, and so this one goes on as long.
    """
    recent = f"max by (job) (max_over_time({_MANY_CLOSES}[{limits.disconnects_window}]))"
    return inhibitor(
        limits.disconnects_window,
        f'label_replace({recent}, "cause", "UnexpectedDisconnects", "", "")',
    )


def _elsewhere(every: str, of_sites: str) -> str:
    """Return a number without what the site has of it that has the most."""
    return f"({every} - (max by (job) ({of_sites}) or 0 * {every}))"


def _most(metric: Metric, *matchers: str, text: str = "most of") -> str:
    """Return the template that names the groups that have most of these, if robots have labels."""

    def named(name: str, label: str) -> str:
        counted = series(metric, OF_JOB, *matchers, f'{label}!=""')
        if metric not in external.PROMETHEUS:  # What is recorded is of no instance.
            counted = living(counted)
        return (
            f"{{{{ with {_asked(f'topk(3, sum by ({label}) ({counted}) > 0)')} }}}}; {text} {name}"
            f"{{{{ range . }}}} {{{{ .Labels.{label} }}}} ({{{{ .Value | humanize }}}})"
            "{{ end }}{{ end }}"
        )

    return "".join(map(named, GROUPS, GROUPS.values()))


def _asked(query: str) -> str:
    """Return what asks in a template; the query names the alert's own job once, by `OF_JOB`."""
    return f"printf `{query}` $labels.job | query"


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
