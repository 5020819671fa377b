"""Cases of one alert, played by promtool."""

import json
import subprocess
from pathlib import Path
from typing import Any

from dashboards.rules import build
from dashboards.rules.alert import Links
from rules.servers import promtool


def play(alert: str, tests: list[dict[str, Any]], directory: Path) -> None:
    """Play the cases of an alert alone: all the other rules take a minute for what it does in 1 s.

    Raises:
        AssertionError: A case does not hold.
    """
    rule = next(a.rule(Links()) for a in build.alerts() if a.name == alert)
    asked = [one for one in build.recording("charter.fleet") if one["record"] in rule["expr"]]
    rules, cases = directory / "rules.yaml", directory / "cases.test.yaml"
    rules.write_text(json.dumps({"groups": [{"name": "alone", "rules": [*asked, rule]}]}))
    cases.write_text(
        json.dumps({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": tests})
    )
    command = [promtool(), "test", "rules", str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
