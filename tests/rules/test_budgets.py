"""Budgets that burn for a cause that somebody was told of already."""

from pathlib import Path
from typing import Any

import pytest

from rules.played import play

ERRORS = 'charter:objective:error_ratio{job="charter-otel",objective="events",window="%s"}'
FIRED = 'max_over_time(ALERTS{alertname="ErrorBudgetBurningSlowly",alertstate="firing"}[%s])'


@pytest.mark.parametrize("cause", ["StreamUnreachable", "ServiceDown", "SiteDisconnected"])
def test_a_budget_waits_for_half_an_hour_after_a_cause(cause: str, tmp_path: Path) -> None:
    """A page for the same outage would come when the first one is over; a later one is news."""
    told: dict[str, Any] = {"labels": '{objective="events"}', "value": 1}
    play(
        "ErrorBudgetBurningSlowly",
        [
            {
                "interval": "1m",
                "input_series": [
                    {"series": ERRORS % "6h", "values": "_x40 0.02x100"},
                    {"series": ERRORS % "30m", "values": "_x40 0.02x100"},
                    {
                        "series": 'charter:objective:budget{objective="events"}',
                        "values": "0.001x140",
                    },
                    {
                        "series": f'ALERTS{{alertname="{cause}",alertstate="firing"}}',
                        "values": "_x40 1x10",
                    },
                ],
                "promql_expr_test": [
                    {"expr": FIRED % "79m", "eval_time": "79m", "exp_samples": []},
                    {
                        "expr": f"max by (objective) ({FIRED % '10m'})",
                        "eval_time": "90m",
                        "exp_samples": [told],
                    },
                ],
            }
        ],
        tmp_path,
    )
