"""LogQL and TraceQL parse with Grafana's own grammars, as its query editors use them."""

import json
import subprocess
from pathlib import Path

import pytest

from dashboards.rules import logs
from dashboards.rules.thresholds import Thresholds
from support import runbooks
from support.dashboards import Target, every, filled
from support.node import installed

PACKAGES = ("@grafana/lezer-logql@0.4.2", "@grafana/lezer-traceql@1.0.0", "@lezer/lr@1.4.10")
SCRIPT = Path(__file__).with_name("grammar.mjs")


@pytest.fixture(scope="module")
def grammars() -> Path:
    """Return the directory with the grammars, installed once."""
    return installed("grammars", *PACKAGES)


def errors(grammars: Path, *queries: tuple[str, str]) -> list[int | None]:
    """Return where each query breaks its grammar, or None."""
    done = subprocess.run(
        ["node", str(SCRIPT), str(grammars)],
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[int | None] = json.loads(done.stdout)
    return found


def test_every_query_parses(grammars: Path) -> None:
    """No query of a panel, an annotation, a rule, a runbook or a page breaks its grammar."""
    rules = [Target(alert.name, "loki", alert.expr) for alert in logs.alerts(Thresholds())]
    targets = [*every("loki"), *every("tempo"), *rules, *runbooks.logql(), *runbooks.traceql()]
    assert len(targets) > len(rules)
    found = errors(grammars, *((target.kind, filled(target.text)) for target in targets))
    broken = {str(target): at for target, at in zip(targets, found, strict=True) if at is not None}
    assert not broken


@pytest.mark.parametrize(
    ("language", "query"),
    [
        ("loki", '{service_name="x" | y'),
        ("tempo", "{ name = }"),
        ("loki", "sum by (count_over_time"),
    ],
)
def test_grammars_refuse(grammars: Path, language: str, query: str) -> None:
    """The grammars tell a broken query from a good one."""
    assert errors(grammars, (language, query)) != [None]
