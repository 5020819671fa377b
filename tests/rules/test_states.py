"""Alerts on what is so now, with gaps, births and two instances, as those on counters.

Missing samples say nothing new. A fault in the first minute of a series, or after a gap, does.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dashboards.rules import build
from rules.played import play

Value = Callable[[int], float]
"""The value of a series at a sample; there is one in 15 s."""


class State(NamedTuple):
    """A series that an alert judges."""

    series: str
    well: Value
    wrong: Value
    beside: dict[str, float] = {}  # noqa: RUF012 - nobody changes it
    """Series that it is compared with."""
    dies: bool = True
    """Whether it is an instance's, so that its last words count for nothing."""


def _is(value: float) -> Value:
    return lambda _: value


ONE = 'job="charter-otel", instance="one"'
QUEUE = f'{ONE}, messaging_system_name="redis"'
ROBOT = f'{ONE}, charter_robot_id="robot_001"'
COLLECTOR = 'job="otelcol-charter", instance="collector"'
EXPORTER = f'{COLLECTOR}, exporter="loki", data_type="logs"'
LAST = f'{ONE}, charter_job_id="aggregate_mission_metrics"'
CONDITION = f"charter_robot_condition_count{{{ONE}, charter_robot_condition"
STATES = {
    "StreamUnreachable": State(f"charter_stream_connected{{{QUEUE}}}", _is(1), _is(0)),
    "StreamQueueFilling": State(
        f"charter_stream_queue_size{{{ONE}}}",
        _is(3),
        _is(9000),
        {f"charter_stream_queue_capacity{{{ONE}}}": 10_000},
    ),
    "SubscriberLagging": State(
        f'charter_subscriber_age_seconds{{{ONE}, messaging_consumer_group_name="audit"}}',
        _is(3),
        _is(600),
    ),
    "JobMissing": State(f"charter_job_last_success_seconds{{{LAST}}}", lambda n: 15.0 * n, _is(0)),
    "RobotFlapping": State(f'{CONDITION}="flapping"}}', _is(0), _is(3)),
    "RobotsOmitted": State(
        f'charter_robot_omitted{{{ONE}, charter_robot_condition="high_cpu"}}', _is(0), _is(3)
    ),
    "LowBattery": State(f"charter_robot_battery_charge_ratio{{{ROBOT}}}", _is(0.8), _is(0.1)),
    "HighCpu": State(f"charter_robot_cpu_utilization_ratio{{{ROBOT}}}", _is(0.3), _is(0.95)),
    "CollectorQueueing": State(
        f"otelcol_exporter_queue_size{{{EXPORTER}}}",
        _is(3),
        _is(9000),
        {f"otelcol_exporter_queue_capacity{{{EXPORTER}}}": 10_000},
        dies=False,
    ),
}
"""The alerts on states, with the series of one instance."""
ELSEWHERE = {
    "CollectorDown": "rules/tests/collector.test.yaml",
    "ErrorBudgetBurningFast": "rules/tests/objectives.test.yaml",
    "ErrorBudgetBurningSlowly": "rules/tests/objectives.test.yaml, test_budgets.py",
    "FleetDisconnected": "test_site_gaps.py",
    "GroupDisconnected": "test_site_gaps.py",
    "OutageInhibitor": "rules/tests/service.test.yaml, test_flapping.py",
    "ServiceDown": "rules/tests/service.test.yaml",
    "SiteDisconnected": "test_site_gaps.py",
    "Watchdog": "fires always",
}
"""Files with such cases of the other alerts of Prometheus that look at no counter."""

MOMENT = "a moment"
BEGIN, END = 60, 200
"""Samples until something happens, and in all."""


class Case(NamedTuple):
    """Samples with a fault, and samples that nobody sees."""

    name: str
    wrong: range
    unseen: range
    fires: bool
    gone: bool = False


def _cases() -> Iterator[Case]:
    for minutes in (7, 20):
        gap = range(BEGIN, BEGIN + 4 * minutes)
        yield Case(f"a gap of {minutes} minutes", range(0), gap, fires=False)
        # Two samples are less than any alert waits for.
        before = range(BEGIN - 2, BEGIN)
        yield Case(f"{MOMENT} before a gap of {minutes} minutes", before, gap, fires=False)
        after = range(gap.stop, END)
        yield Case(f"wrong after a gap of {minutes} minutes", after, gap, fires=True)
    whole = range(END)
    yield Case("a series that is born wrong", whole, range(100), fires=True)
    yield Case("a series that is born well", range(0), range(100), fires=False)
    yield Case("wrong from some time on", range(100, END), range(0), fires=True)
    repeats = range(BEGIN, BEGIN + 12)
    ends = range(repeats.stop, END)
    yield Case("the last words of an instance that is gone", repeats, ends, fires=False, gone=True)


CASES = tuple(_cases())


def _second(series: str) -> str:
    return series.replace('"one"', '"two"').replace("robot_001", "robot_002")


def _test(alert: str, case: Case) -> dict[str, Any]:
    state = STATES[alert]
    samples = [
        "stale" if n in case.unseen else f"{(state.wrong if n in case.wrong else state.well)(n):g}"
        for n in range(END)
    ]
    series = {
        state.series: " ".join(samples),
        f"charter:instances:gone{{{ONE}}}": f"_x{BEGIN} 1x{END}" if case.gone else "_",
        **{name: f"{value:g}x{END}" for name, value in state.beside.items()},
    }
    if state.dies and alert != "JobMissing":
        # An instance that is well all the while changes nothing for the other one.
        well = " ".join(f"{state.well(n):g}" for n in range(END))
        series |= {_second(state.series): well}
        series |= {_second(name): series[name] for name in state.beside}
    asked = f'max_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[49m])'
    return {
        "name": f"{alert}: {case.name}",
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"max({asked})",
                "eval_time": "49m",
                "exp_samples": [{"labels": "{}", "value": 1}] if case.fires else [],
            },
        ],
    }


@pytest.mark.parametrize("alert", STATES)
def test_alerts_on_states_survive_gaps(alert: str, tmp_path: Path) -> None:
    """Each fires for what is wrong, in a new series and after a gap too, and for nothing else."""
    waits = any(one.hold for one in build.alerts() if one.name == alert)
    cases = [
        case
        for case in CASES
        if (STATES[alert].dies or not case.gone) and (waits or not case.name.startswith(MOMENT))
    ]
    play(alert, [_test(alert, case) for case in cases], tmp_path)


def test_every_other_alert_has_its_cases() -> None:
    """A new alert on a state is tested with gaps; those on counters are in `test_gaps.py`."""
    names = {
        a.name for a in build.alerts() if "increase(" not in a.expr and "{service" not in a.expr
    }
    assert names == {*STATES, *ELSEWHERE}
