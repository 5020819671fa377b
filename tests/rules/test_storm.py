"""A thousand robots that come and go for hours: one page for each cause."""

import os
import random
from pathlib import Path

import pytest

from charter_otel.thresholds import Flaps, Thresholds
from rules.played import play_group

ONE = 'job="charter-otel", instance="one"'
STEP = 30
"""Seconds between two samples, and between two evaluations: twice what is shipped."""
HOURS = int(os.environ.get("STORM_HOURS", "3"))
"""Hours of storm. A penalty halves in ten minutes: after two of them nothing changes any more."""
QUIET, STORM, AFTER = 10 * 60, HOURS * 3600, 3600
"""Seconds."""
ROBOTS, LOSSES = 1000, 60
"""Robots that come and go, and how many do so in a minute."""
_SERIES = {
    name: f"{metric}{{{ONE}{labels}}}"
    for name, metric, labels in (
        (
            "closes",
            "charter_connection_duration_seconds_count",
            ', charter_connection_close_reason="connection_lost"',
        ),
        (
            "short",
            "charter_connection_duration_seconds_bucket",
            ', charter_connection_close_reason="connection_lost", le="60"',
        ),
        ("lost", "charter_robot_condition_count", ', charter_robot_condition="lost"'),
        ("flapping", "charter_robot_condition_count", ', charter_robot_condition="flapping"'),
        ("online", "charter_connection_active", ""),
        ("uptime", "process_uptime_seconds", ""),
    )
}


@pytest.mark.timeout(50 * HOURS)
@pytest.mark.parametrize("away", [2.0, 20.0])
def test_a_storm_of_hours_is_one_page_for_each_cause(away: float, tmp_path: Path) -> None:
    """Of a thousand robots that come and go, each alert fires once, throughout, and ends.

    Loki has an alert for each loss; these are held back from the storm's first minute on.
    """
    fired = 'ALERTS{alertstate="firing", severity!="none"}'
    held = 'ALERTS{alertname="OutageInhibitor", cause="UnexpectedDisconnects"}'
    names = f"max by (alertname) ({fired})"
    begins = {
        "record": "begins",
        "expr": f"{names} unless max by (alertname) ({fired} offset {STEP}s)",
    }
    storm, over = f"{QUIET + STORM}s", f"{QUIET + STORM + AFTER}s"
    alerts = ["RobotFlapping", "UnexpectedDisconnects", "ShortConnections"]
    alerts += ["FleetDisconnected"] if away > STEP / 2 else []
    once = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    minutes = STORM // 60 - 1
    checks = [
        {"expr": f"count_over_time(begins[{over}])", "eval_time": over, "exp_samples": once},
        {"expr": names, "eval_time": storm, "exp_samples": once},
        {"expr": fired, "eval_time": over, "exp_samples": []},
        {
            "expr": f"sum(count_over_time({held}[{60 * minutes - 1}s]))",
            "eval_time": storm,
            "exp_samples": [{"labels": "{}", "value": 60 * minutes // STEP}],
        },
    ]
    case = {"interval": f"{STEP}s", "input_series": _series(away), "promql_expr_test": checks}
    play_group("charter.fleet", [case], tmp_path, f"{STEP}s", begins)


def _losses(away: float) -> list[tuple[float, int]]:
    """Return when the robots are lost: each is back after a while."""
    dice = random.Random(1)  # noqa: S311 - no secret
    return sorted(
        (QUIET + minute * 60 + dice.uniform(0, 59 - away), robot)
        for minute in range(STORM // 60)
        for robot in dice.sample(range(ROBOTS), LOSSES)
    )


def _series(away: float) -> list[dict[str, str]]:
    """Return what an instance tells of such a time."""
    limits = Thresholds()
    flaps = [Flaps(limits.flap_half_life) for _ in range(ROBOTS)]
    since = [0.0] * ROBOTS
    losses = iter([*_losses(away), (float("inf"), 0)])
    at, robot = next(losses)
    closes = short = 0
    samples: dict[str, list[int]] = {name: [] for name in _SERIES}
    for now in range(0, QUIET + STORM + AFTER + 1, STEP):
        while at <= now:
            closes += 1
            short += at - since[robot] < limits.short_connection
            flaps[robot].add(at)
            since[robot] = at + away
            at, robot = next(losses)
        lost = sum(began > now for began in since)
        samples["closes"].append(closes)
        samples["short"].append(short)
        samples["lost"].append(lost)
        samples["online"].append(ROBOTS - lost)
        samples["flapping"].append(sum(each.judge(now, limits) for each in flaps))
        samples["uptime"].append(90_000 + now)
    return [
        {"series": _SERIES[name], "values": " ".join(map(str, values))}
        for name, values in samples.items()
    ]
