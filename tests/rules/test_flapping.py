"""The texts of pages about many robots: those that come and go, and those of one job."""

from pathlib import Path
from typing import Any

import pytest

from dashboards.rules import build
from dashboards.rules.alert import Links
from rules.played import play

ONE = 'job="charter-otel", instance="one"'


def _flapping(online: dict[str, str], pages: str) -> dict[str, Any]:
    """Return a case in which two robots flap, with their presence and the page's text."""
    rule = next(a.rule(Links()) for a in build.alerts() if a.name == "RobotFlapping")
    condition = f'charter_robot_condition_count{{{ONE}, charter_robot_condition="flapping"}}'
    told = {
        "exp_labels": {"severity": "warning", "job": "charter-otel"},
        "exp_annotations": rule["annotations"] | {"description": pages},
    }
    return {
        "interval": "15s",
        "input_series": [
            {"series": condition, "values": "2x40"},
            *(
                {"series": f"charter_robot_online{{{ONE}, {labels}}}", "values": values}
                for labels, values in online.items()
            ),
        ],
        "alert_rule_test": [
            {"eval_time": "9m", "alertname": "RobotFlapping", "exp_alerts": [told]}
        ],
    }


@pytest.mark.parametrize(
    ("online", "pages"),
    [
        (
            {
                'charter_robot_id="worst"': "1 0 1 0 1 0 1 0 1x30",
                'charter_robot_id="bad"': "1 0 1 0 1x40",
                'charter_robot_id="new"': "0 1x40",
                'charter_robot_id="toy", charter_robot_simulated="true"': "1 0 1 0 1x40",
            },
            "2 robots come and go: `worst` `bad`.",
        ),
        (
            {'charter_robot_id="fast"': "1x40", 'charter_robot_id="faster"': "1x40"},
            "2 robots come and go: metrics name none of them, the log does (see the runbook).",
        ),
    ],
    ids=["seen", "between two exports"],
)
def test_the_page_names_robots_or_says_who_does(
    online: dict[str, str], pages: str, tmp_path: Path
) -> None:
    """Those whose presence changes most often; the log knows who is back before an export."""
    play("RobotFlapping", [_flapping(online, pages)], tmp_path)


@pytest.mark.parametrize(
    ("name", "series", "labels", "text"),
    [
        (
            "RobotFlapping",
            'charter_robot_condition_count{{{of}, charter_robot_condition="flapping"}}',
            {},
            (
                "7 robots come and go: metrics name none of them, the log does (see the runbook)"
                "; most of site {site} (7)."
            ),
        ),
        (
            "UnexpectedDisconnects",
            (
                "charter_connection_duration_seconds_count"
                '{{{of}, charter_connection_close_reason="connection_lost"}}'
            ),
            {"charter_connection_close_reason": "connection_lost"},
            (
                "7 connections ended with connection_lost within 5m"
                "; of all that ended unexpectedly within 2m, most of site {site} (7)."
            ),
        ),
    ],
    ids=["raw", "recorded"],
)
def test_the_page_of_a_job_names_its_own_sites(
    name: str, series: str, labels: dict[str, str], text: str, tmp_path: Path
) -> None:
    """Another job's are in the page of that one; and a number of another window says so."""
    rule = next(a.rule(Links()) for a in build.alerts() if a.name == name)
    sites = {"north": "oslo", "south": "rome"}
    of = 'job="{}", instance="one", charter_robot_label_site="{}"'
    summary = "Connections of robots end unexpectedly: connection_lost"
    told = [
        {
            "exp_labels": {"severity": "warning", "job": job} | labels,
            "exp_annotations": rule["annotations"]
            | ({"summary": summary} if labels else {})
            | {"description": text.format(site=site)},
        }
        for job, site in sites.items()
    ]
    case = {
        "interval": "15s",
        "input_series": [
            {"series": series.format(of=of.format(*each)), "values": "_x20 7x40"}
            for each in sites.items()
        ],
        "alert_rule_test": [{"eval_time": "6m", "alertname": name, "exp_alerts": told}],
    }
    play(name, [case], tmp_path)
