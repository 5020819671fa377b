"""Every LogQL and TraceQL query, asked of a real Loki and a real Tempo, where they are installed.

`test_live.py` does the same for PromQL everywhere.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from charter_otel.otel import semconv
from collector.harness import Collector
from dashboards.promql import label
from dashboards.rules import logs
from dashboards.rules.thresholds import Thresholds
from support import runbooks
from support.back_ends import BackEnds, back_ends
from support.dashboards import Target, dashboards, every, filled, variables
from support.installation import Installation, installed
from support.polling import wait_until

pytestmark = pytest.mark.timeout(300)

SETTLED = 60.0
"""Seconds after which everything that happens in the installation can be found."""
SINCE_START = "5m"
CORRELATION = label(semconv.CHARTER_EVENT_CORRELATION_ID)
EXPLAINS = {"JobRunFailed": "charter.job.run", "RobotDisconnected": "charter.connection"}
"""The span that explains an alert of Loki."""
HAPPENS = {"UnexpectedDisconnects", "ShortConnections", "RobotFlapping", "LowBattery", "HighCpu"}
"""Alerts whose pages lead to traces that this fleet makes."""


class _Everything:
    """The installation, and the back ends behind its Collector."""

    def __init__(self, running: Installation, behind: BackEnds) -> None:
        self.running, self.behind = running, behind

    def ask(self, target: Target) -> object:
        """Ask what a panel asks."""
        if target.kind == "tempo":
            return self.behind.traces(filled(target.text), self.running.started)
        window = SINCE_START if target.instant else "15s"
        query = filled(target.text, __auto=window)
        return self.behind.records(query, self.running.started, instant=target.instant)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Everything]:
    """Yield an installation whose Collector sends to Loki and Tempo."""
    with back_ends(tmp_path_factory.mktemp("back_ends")) as behind:

        @contextlib.contextmanager
        def collecting(binary: Path, directory: Path) -> Iterator[Collector]:
            env = {"CHARTER_LOKI_ENDPOINT": behind.loki, "CHARTER_TEMPO_ENDPOINT": behind.spans}
            configs = ("base.yaml", "vendors/loki-tempo.yaml")
            with Collector(binary, directory, *configs, **env) as collector:
                yield collector

        with installed(tmp_path_factory, collecting) as running:
            yield _Everything(running, behind)


def _until_none(left: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + SETTLED
    while (missing := left()) and time.monotonic() < deadline:
        time.sleep(1)
    assert not missing


def _has_span(behind: BackEnds, trace: str, name: str) -> bool:
    return name in behind.spans_of(trace)


def test_no_panel_is_empty(everything: _Everything) -> None:
    """Every query of every panel and annotation finds something."""
    targets = [*every("loki"), *every("tempo")]
    _until_none(lambda: [target.where for target in targets if not everything.ask(target)])


def test_no_variable_is_empty(everything: _Everything) -> None:
    """Every variable that asks Loki offers the service."""
    asked = {
        variable["query"]
        for dashboard in dashboards().values()
        for variable in variables(dashboard, "query")
        if variable["datasource"]["type"] == "loki"
    }
    assert asked == {"label_values(service_name)"}
    assert "charter-otel" in everything.behind.label("service_name")


def test_runbooks_find_what_they_say(everything: _Everything) -> None:
    """The LogQL of the runbooks is valid, and finds what does not need one id or stdout."""
    targets = [target for target in runbooks.logql() if "|=" not in target.text]
    general = [target for target in targets if "_id=" not in target.text]
    assert general
    for target in targets:
        everything.ask(target)  # fails where Loki refuses it
    _until_none(lambda: [target.where for target in general if not everything.ask(target)])


def test_pages_find_traces(everything: _Everything) -> None:
    """The search that a page links to is valid, and finds traces of what has happened here."""
    for target in runbooks.traceql():
        everything.ask(target)  # fails where Tempo refuses it
    happened = [target for target in runbooks.traceql() if target.where in HAPPENS]
    assert {target.where for target in happened} == HAPPENS
    _until_none(lambda: [target.where for target in happened if not everything.ask(target)])


def test_from_the_page_to_trace_log_and_stream(everything: _Everything) -> None:
    """Loki's ruler fires both alerts; the id that each carries leads to the rest."""
    behind, wanted = everything.behind, {alert.name for alert in logs.alerts(Thresholds())}

    def firing() -> dict[str, dict[str, str]]:
        return {one["labels"]["alertname"]: one["labels"] for one in behind.alerts()}

    wait_until(lambda: firing().keys() >= wanted, "Loki's alerts fire", within=SETTLED)
    for name, labels in firing().items():
        correlation = labels[CORRELATION]
        has_span = partial(_has_span, behind, correlation, EXPLAINS[name])
        wait_until(has_span, "Tempo has the trace", within=SETTLED)
        query = f'{{service_name="charter-otel"}} | trace_id="{correlation}"'
        (found, *_) = behind.records(query, everything.running.started)
        assert found["stream"][CORRELATION] == correlation
        told = [
            event["id"]
            for service in everything.running.services
            for event in service.events()
            if event["meta"]["correlation_id"] == correlation
        ]
        assert found["stream"][label(semconv.CHARTER_EVENT_ID)] in told
