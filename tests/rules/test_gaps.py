"""Counters that were not seen for a while, or never before: what Prometheus makes of them.

A gap in the samples is not an event; an event in the first minute of a new series is one.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dashboards.rules import build
from rules.played import play

SERVICE = 'job="charter-otel", instance="one"'
COLLECTOR = 'job="otelcol-charter", instance="one"'
UPTIME = f"process_uptime_seconds{{{SERVICE}}}"
COLLECTOR_UPTIME = f"otelcol_process_uptime_seconds_total{{{COLLECTOR}}}"
QUICK_RUNS = f'charter_job_run_duration_seconds_bucket{{{SERVICE}, le="5.0"}}'

ALERTS = {
    "JobFailed": f'charter_job_run_duration_seconds_count{{{SERVICE}, error_type="E"}}',
    "JobFailingRepeatedly": f'charter_job_run_duration_seconds_count{{{SERVICE}, error_type="E"}}',
    "JobSlow": f"charter_job_run_duration_seconds_count{{{SERVICE}}}",
    "UnexpectedDisconnects": f"charter_connection_duration_seconds_count"
    f'{{{SERVICE}, charter_connection_close_reason="connection_lost"}}',
    "ShortConnections": f"charter_connection_duration_seconds_bucket"
    f'{{{SERVICE}, charter_connection_close_reason="client_disconnect", le="60.0"}}',
    "EventsLost": f'charter_event_dropped_total{{{SERVICE}, charter_sink="stream"}}',
    "EventsDropped": f'charter_event_dropped_total{{{SERVICE}, charter_sink="log"}}',
    "StreamRestarted": f"charter_stream_restarted_total{{{SERVICE}}}",
    "EntriesUnreadable": f"charter_entry_unreadable_total{{{SERVICE}}}",
    "ConnectionsRefused": f"charter_connection_refused_total"
    f'{{{SERVICE}, charter_refusal_reason="files"}}',
    "EventsDeadLettered": f"charter_subscriber_dead_lettered_total{{{SERVICE}}}",
    "LogLinesDropped": f"charter_log_dropped_total{{{SERVICE}}}",
    "CollectorRefusing": f"otelcol_receiver_refused_spans_total{{{COLLECTOR}}}",
    "CollectorDiscarding": f"otelcol_exporter_send_failed_spans_total{{{COLLECTOR}}}",
}
"""The alerts on counters, with a series of each."""


class Case(NamedTuple):
    """The samples of a counter and of its instance's uptime, one in 15 s."""

    name: str
    counter: str
    uptime: str
    fires: bool
    until: int = 36
    """Minutes that are played."""


def _gaps() -> Iterator[Case]:
    for minutes in (7, 20):
        gap = f"stale _x{4 * minutes - 1}"
        seen = f"4000+15x60 {gap} {4000 + 15 * (60 + 4 * minutes)}+15x60"
        yield Case(f"a gap of {minutes} minutes", f"4x60 {gap} 4x60", seen, fires=False, until=48)
        yield Case(f"{minutes} minutes, no uptime", f"4x60 {gap} 4x60", "_", fires=False, until=48)


CASES = (
    *_gaps(),
    Case("a series that is born in an old process", "_x99 4x60", "9000+15x160", fires=True),
    Case("a series that is born, and no uptime", "_x99 4x60", "_", fires=True),
    Case("the first minute of a process", "_x102 4x57", "_x99 1+15x60", fires=True),
    Case("the first export of a process", "_x99 4x60", "_x99 1+15x60", fires=True),
    Case("an increase", "4x99 8x60", "9000+15x160", fires=True),
    Case("a restart under the same id", "4x99 0x60", "9000+15x99 1+15x60", fires=False),
    Case("failures after such a restart", "4x99 stale _x3 4x57", "9000+15x99 1+15x60", fires=True),
    Case("a process that Prometheus sees late", "_x99 9x60", "_x99 90000+15x60", fires=False),
    Case("a counter that stands", "4x160", "9000+15x160", fires=False),
)


def _second_instance(series: str) -> str:
    return series.replace('instance="one"', 'instance="two"')


def _test(alert: str, case: Case) -> dict[str, Any]:
    series = ALERTS[alert]
    uptime = COLLECTOR_UPTIME if "otelcol" in series else UPTIME
    asked = f'max_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[{case.until - 20}m])'
    quick = re.sub(r"(?<![x_\d])\d+(?=x)", "0", case.counter)
    fired = [{"labels": "{}", "value": 1}] if case.fires else []
    return {
        "name": f"{alert}: {case.name}",
        "interval": "15s",
        "input_series": [
            {"series": series, "values": case.counter},
            {"series": uptime, "values": case.uptime},
            {"series": QUICK_RUNS, "values": quick},
            # An instance that runs all the while changes nothing for the other one.
            {"series": _second_instance(series), "values": "7x200"},
            {"series": _second_instance(uptime), "values": "70000+15x200"},
        ],
        "promql_expr_test": [
            # From the twentieth minute on: before it, what is there from the start may be new.
            {"expr": f"max({asked})", "eval_time": f"{case.until}m", "exp_samples": fired},
        ],
    }


@pytest.mark.parametrize("alert", ALERTS)
def test_alerts_on_counters_survive_gaps(alert: str, tmp_path: Path) -> None:
    """Each fires for what happened, in the first minute too, and for nothing else."""
    play(alert, [_test(alert, case) for case in CASES], tmp_path)


def test_every_alert_on_a_counter_is_among_them() -> None:
    """A new alert on what has grown is tested too; those on sites are in `test_site_gaps.py`."""
    grown = {alert.name for alert in build.alerts() if "increase(" in alert.expr}
    assert grown == set(ALERTS)
