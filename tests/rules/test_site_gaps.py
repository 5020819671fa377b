"""Lost sites, models and fleets with gaps, births, restarts and two instances, as on counters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rules.played import play

JOB = 'job="charter-otel"'
SITE, MODEL = 'charter_robot_label_site="berlin"', 'charter_robot_label_model="m2"'
LABELLED = {"SiteDisconnected": SITE, "GroupDisconnected": MODEL}
CLOSES = "charter_connection_duration_seconds_count"
SERIES = {
    "closes": f'{CLOSES}{{{JOB},%s,{SITE},charter_connection_close_reason="connection_lost"}}',
    "lost": f'charter_robot_condition_count{{{JOB},%s,{SITE},charter_robot_condition="lost"}}',
    "online": f"charter_connection_active{{{JOB},%s,{SITE}}}",
    "uptime": f"process_uptime_seconds{{{JOB},%s}}",
    "gone": f"charter:instances:gone{{{JOB},%s}}",
}
QUIET = {"closes": "0x200", "lost": "0x200", "online": "10x200", "uptime": "9000+15x200"}
"""An instance with ten robots of the site; a sample every 15 s."""
ANOTHER = {"uptime": "70000+15x200"}
"""An instance without any of them."""


class Case(NamedTuple):
    """Samples that differ from a quiet site's, at one instance and at another one."""

    name: str
    one: dict[str, str]
    two: dict[str, str] = ANOTHER
    until: int = 36
    """Minutes that are played."""


def _after(minutes: int) -> Iterator[Case]:
    gap = f"stale _x{4 * minutes - 1}"
    seen = f"4000+15x60 {gap} {4000 + 15 * (60 + 4 * minutes)}+15x60"
    lost = {"closes": f"0x60 {gap} 0x20 9x40", "lost": f"0x60 {gap} 0x20 9x40"}
    lost |= {"online": f"10x60 {gap} 10x20 1x40", "uptime": seen}
    yield Case(f"a loss after a gap of {minutes} minutes", lost, until=48)


def _within(minutes: int) -> Iterator[Case]:
    """Yield sites that lost eight robots long ago, one by one, and were then not seen."""
    gap = f"stale _x{4 * minutes - 1}"
    seen = f"4000+15x60 {gap} {4000 + 15 * (60 + 4 * minutes)}+15x60"
    same = {"closes": f"8x60 {gap} 8x60", "lost": f"8x60 {gap} 8x60", "online": f"2x60 {gap} 2x60"}
    yield Case(f"a gap of {minutes} minutes", {**same, "uptime": seen}, until=48)
    yield Case(f"{minutes} minutes, no uptime", {**same, "uptime": "_"}, until=48)


LOSS = {"closes": "0x99 9x60", "lost": "0x99 9x60", "online": "10x99 1x60"}
FIRES = (
    *_after(7),
    *_after(20),
    Case("a loss", LOSS),
    Case("the first close ever", LOSS | {"closes": "_x99 9x60"}),
    Case("no connection is left", LOSS | {"online": "10x99 0x60"}),
    Case("no series of connections is left", LOSS | {"online": "10x99 stale"}),
    Case(
        "the first minute of a process",
        {
            "closes": "_x102 9x57",
            "lost": "_x100 0x2 9x57",
            "online": "_x100 10x2 1x57",
            "uptime": "_x99 1+15x60",
        },
    ),
    Case(
        "a third of it at each of two instances",
        {"closes": "0x99 3x60", "lost": "0x99 3x60", "online": "5x99 2x60"},
        {"closes": "0x99 3x60", "lost": "0x99 3x60", "online": "5x99 2x60"},
    ),
)
SILENT = (
    *_within(7),
    *_within(20),
    Case("quiet", {}),
    Case("four of ten", {"closes": "0x99 4x60", "lost": "0x99 4x60", "online": "10x99 6x60"}),
    Case("six of twenty", {"closes": "0x99 6x60", "lost": "0x99 6x60", "online": "20x99 14x60"}),
    Case("lost long ago", {"closes": "8x200", "lost": "8x200", "online": "2x200"}),
    Case("a restart", {"closes": "9x99 0x60", "uptime": "9000+15x99 1+15x60"}),
    Case("all are back before the next sample", {"closes": "0x99 9x60"}),
    Case(
        "most of the site is at another instance",
        {"closes": "0x99 5x60", "lost": "0x99 5x60", "online": "5x99 0x60"},
        {"closes": "0x200", "lost": "0x200", "online": "15x200"},
    ),
    Case(
        "an instance that is gone, and repeats what it said last",
        LOSS | {"closes": "0x99 9x12 stale", "gone": "_x99 1x60"},
        {"closes": "0x200", "lost": "0x200", "online": "10x200"},
    ),
)


OF_A_SITE = {"six of twenty", "most of the site is at another instance"}
"""Too few of their site, and enough of a fleet without sites."""
NAMELESS: dict[str, Any] = {"labels": "{}", "value": 1}


def _test(alert: str, case: Case, expected: list[dict[str, Any]]) -> dict[str, Any]:
    instances = {"one": QUIET | case.one, "two": ANOTHER | case.two}
    fired = f'max_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[{case.until - 20}m])'
    labelled = LABELLED.get(alert, MODEL)
    return {
        "name": case.name,
        "interval": "15s",
        "input_series": [
            {
                "series": SERIES[name].replace(SITE, labelled) % f'instance="{instance}"',
                "values": values,
            }
            for instance, samples in instances.items()
            for name, values in samples.items()
        ],
        "promql_expr_test": [
            # From the twentieth minute on: before it, what is there from the start may be new.
            {
                "expr": f"max by (charter_robot_label_site, charter_robot_label_model) ({fired})",
                "eval_time": f"{case.until}m",
                "exp_samples": expected,
            }
        ],
    }


@pytest.mark.parametrize("case", FIRES, ids=lambda case: str(case.name))
def test_a_lost_site_model_or_fleet_is_reported(case: Case, tmp_path: Path) -> None:
    """With its name, in the first minute of a series, after a gap and over two instances."""
    for alert, labelled in LABELLED.items():
        named = {"labels": f"{{{labelled}}}", "value": 1}
        play(alert, [_test(alert, case, [named])], tmp_path)
    play("FleetDisconnected", [_test("FleetDisconnected", case, [NAMELESS])], tmp_path)


@pytest.mark.parametrize("case", SILENT, ids=lambda case: str(case.name))
def test_nothing_else_is_a_lost_site_model_or_fleet(case: Case, tmp_path: Path) -> None:
    """Neither a gap nor a restart, nor a few robots, nor what an instance that is gone repeats."""
    for alert in LABELLED:
        play(alert, [_test(alert, case, [])], tmp_path)
    fires = [NAMELESS] if case.name in OF_A_SITE else []
    play("FleetDisconnected", [_test("FleetDisconnected", case, fires)], tmp_path)
