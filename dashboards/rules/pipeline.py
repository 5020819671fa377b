"""Alerts of the way that events take: the emitter, the stream, its subscribers, the log."""

from charter_otel.otel import semconv
from charter_otel.otel.semconv import Metric
from dashboards.rules.alert import Alert, of_label
from dashboards.rules.expressions import (
    DROP_REASON,
    ENTRY,
    GROUP,
    SINK,
    SYSTEM,
    grown,
    living,
    series,
)
from dashboards.rules.thresholds import Thresholds

DASHBOARD = "charter-pipeline"

_DURABLE = f'{SINK}=~"stream|subscriber"'
_OTHER = f'{SINK}!~"stream|subscriber"'


def alerts(limits: Thresholds) -> list[Alert]:
    """Return the alerts."""
    return [
        _lost(limits),
        _dropped(limits),
        _unreachable(limits),
        _restarted(limits),
        _queue(limits),
        _lagging(limits),
        _dead_letters(limits),
        _unreadable(limits),
        _lines(limits),
    ]


def _drops(matcher: str, window: str) -> str:
    dropped = series(semconv.CHARTER_EVENT_DROPPED, matcher)
    return f"{grown(dropped, window, f'job, {SINK}, {DROP_REASON}')} > 0"


def _lost(limits: Thresholds) -> Alert:
    return Alert(
        name="EventsLost",
        severity="critical",
        expr=_drops(_DURABLE, limits.dropped_window),
        summary=f"Events are lost on the way to the {of_label(SINK)}: {of_label(DROP_REASON)}",
        description="Subscribers, the audit log among them, will not see"
        " {{ $value | humanize }} events.",
        dashboard=DASHBOARD,
    )


def _dropped(limits: Thresholds) -> Alert:
    return Alert(
        name="EventsDropped",
        severity="warning",
        expr=_drops(_OTHER, limits.dropped_window),
        summary=f"Events do not reach the sink {of_label(SINK)}: {of_label(DROP_REASON)}",
        description=f"{{{{ $value | humanize }}}} events are missing in {of_label(SINK)};"
        " the other sinks have them.",
        dashboard=DASHBOARD,
    )


def _unreachable(limits: Thresholds) -> Alert:
    connected = living(series(semconv.CHARTER_STREAM_CONNECTED))
    return Alert(
        name="StreamUnreachable",
        severity="critical",
        expr=f"min by (job, instance, {SYSTEM}) ({connected}) == 0",
        summary=f"The event stream ({of_label(SYSTEM)}) cannot be reached",
        description="{{ $labels.instance }} keeps events on disk until it can be.",
        dashboard=DASHBOARD,
        hold=limits.unreachable_for,
    )


def _restarted(limits: Thresholds) -> Alert:
    restarts = series(semconv.CHARTER_STREAM_RESTARTED)
    return Alert(
        name="StreamRestarted",
        severity="critical",
        expr=f"{grown(restarts, limits.dropped_window, f'job, {SYSTEM}')} > 0",
        summary=f"The event stream ({of_label(SYSTEM)}) began anew, without what it held",
        description="Events that a subscriber had not handled before are lost to it.",
        dashboard=DASHBOARD,
    )


def _queue(limits: Thresholds) -> Alert:
    size = living(series(semconv.CHARTER_STREAM_QUEUE_SIZE))
    capacity = series(semconv.CHARTER_STREAM_QUEUE_CAPACITY)
    return Alert(
        name="StreamQueueFilling",
        severity="warning",
        expr=f"({size}) / ({capacity} > 0) > {limits.queue_full}",
        summary="Events wait for the event stream",
        description="The publishing queue of {{ $labels.instance }} is"
        " {{ $value | humanizePercentage }} full; beyond it events are lost.",
        dashboard=DASHBOARD,
        hold=limits.queue_for,
    )


def _lagging(limits: Thresholds) -> Alert:
    def behind(metric: Metric) -> str:
        return f"max by (job, {GROUP}) ({living(series(metric))})"

    return Alert(
        name="SubscriberLagging",
        severity="warning",
        expr=f"{behind(semconv.CHARTER_SUBSCRIBER_AGE)} > {limits.lag_s}\n"
        f"or {behind(semconv.CHARTER_SUBSCRIBER_LAG)} > {limits.lag_events}",
        summary=f"Subscriber {of_label(GROUP)} lags behind",
        description=f"{of_label(GROUP)} has not acknowledged events of {limits.lag_s} s ago, or"
        f" more than {limits.lag_events} of them.",
        dashboard=DASHBOARD,
        traces=_handling(),
        hold=limits.lag_for,
    )


def _dead_letters(limits: Thresholds) -> Alert:
    dead_lettered = series(semconv.CHARTER_SUBSCRIBER_DEAD_LETTERED)
    return Alert(
        name="EventsDeadLettered",
        severity="warning",
        expr=f"{grown(dead_lettered, limits.dropped_window, f'job, {GROUP}')} > 0",
        summary=f"Subscriber {of_label(GROUP)} could not handle events",
        description="{{ $value | humanize }} events were given up and kept as dead letters.",
        dashboard=DASHBOARD,
        traces=_handling(),
    )


def _unreadable(limits: Thresholds) -> Alert:
    skipped = series(semconv.CHARTER_ENTRY_UNREADABLE)
    return Alert(
        name="EntriesUnreadable",
        severity="warning",
        expr=f"{grown(skipped, limits.dropped_window, f'job, {ENTRY}')} > 0",
        summary=f"Entries in Redis cannot be read: {of_label(ENTRY)}",
        description="{{ $value | humanize }} reads skipped an entry; all others are served.",
        dashboard=DASHBOARD,
    )


def _lines(limits: Thresholds) -> Alert:
    return Alert(
        name="LogLinesDropped",
        severity="warning",
        expr=f"{grown(series(semconv.CHARTER_LOG_DROPPED), limits.dropped_window, 'job')} > 0",
        summary="Log lines are dropped",
        description="The reader of stdout is too slow; {{ $value | humanize }} lines are missing.",
        dashboard=DASHBOARD,
    )


def _handling() -> str:
    name = semconv.MESSAGING_CONSUMER_GROUP_NAME
    return f'{{ span.{name} = "{of_label(GROUP)}" && status = error }}'
