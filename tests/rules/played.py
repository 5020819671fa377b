"""Cases of one alert, or of one group of rules, played by promtool."""

import json
from pathlib import Path
from typing import Any

import yaml

from dashboards.rules import build
from dashboards.rules.alert import Links
from rules.servers import promtool


def play(alert: str, tests: list[dict[str, Any]], directory: Path) -> None:
    """Play the cases of an alert alone: all the other rules take a minute for what it does in 1 s.

    Raises:
        AssertionError: A case does not hold.
    """
    rule = next(a.rule(Links()) for a in build.alerts() if a.name == alert)
    rules = [rule]
    # What they record may be made of what rules before them record; texts ask for it, too.
    for one in reversed(build.recording("charter.fleet")):
        if any(one["record"] in str(asking) for asking in rules):
            rules.insert(0, one)
    _play(rules, tests, directory, "15s")


def play_group(
    name: str, tests: list[dict[str, Any]], directory: Path, every: str, *more: dict[str, str]
) -> None:
    """Play the cases of a group of Prometheus's rules, and more rules behind it.

    Args:
        name: The group.
        tests: The cases.
        directory: Where the files go.
        every: Time between two evaluations.
        more: Rules of the cases' own.

    Raises:
        AssertionError: A case does not hold.
    """
    groups = yaml.safe_load(build.prometheus())["groups"]
    rules = next(group["rules"] for group in groups if group["name"] == name)
    _play([*rules, *more], tests, directory, every)


def _play(
    rules: list[dict[str, Any]], tests: list[dict[str, Any]], directory: Path, every: str
) -> None:
    path, cases = directory / "rules.yaml", directory / "cases.test.yaml"
    path.write_text(json.dumps({"groups": [{"name": "alone", "rules": rules}]}))
    cases.write_text(
        json.dumps({"rule_files": [str(path)], "evaluation_interval": every, "tests": tests})
    )
    promtool("test", "rules", str(cases))
