"""An alert, and the labels, texts and links that each one carries."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

Severity = Literal["warning", "critical", "none"]
"""``warning`` can wait for the morning, ``critical`` wakes somebody, ``none`` is for machines."""


@dataclass(frozen=True)
class Links:
    """Targets of a page's links; by default the Grafana of `compose.yaml`."""

    grafana: str = "http://localhost:3000"
    runbooks: str = "http://localhost:3000/public/runbooks"
    tempo: str = "charter-tempo"
    """The uid of the Tempo data source in Grafana."""

    def dashboard(self, uid: str, variables: Mapping[str, str]) -> str:
        """Return the address of a dashboard; the variables' values are templates."""
        query = "".join(f"&var-{name}={value}" for name, value in variables.items())
        return f"{self.grafana}/d/{uid}?from=now-1h&to=now{query}"

    def trace(self, query: str) -> str:
        """Return the address of a trace, or of a search for traces.

        Args:
            query: A trace id or TraceQL, in which templates may stand.
        """
        pane = {
            "datasource": self.tempo,
            "queries": [
                {
                    "refId": "A",
                    "datasource": {"type": "tempo", "uid": self.tempo},
                    "queryType": "traceql",
                    "query": query,
                }
            ],
            "range": {"from": "now-6h", "to": "now"},
        }
        panes = json.dumps({"charter": pane}, separators=(",", ":"))
        return f"{self.grafana}/explore?schemaVersion=1&panes={_quoted(panes)}"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert rule of Prometheus or Loki.

    Texts are templates: ``{{ $labels.x }}``, ``{{ $value }}``.
    """

    name: str
    severity: Severity
    expr: str
    summary: str
    """One line, without values that change while it fires."""
    description: str
    dashboard: str
    """The uid of the dashboard to look at."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of the dashboard."""
    traces: str = "{ status = error }"
    """TraceQL or a trace id that leads to what happened."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels: ``job_id`` or ``robot_id`` make it part of that job's or robot's incident."""
    hold: str = ""
    """Time for which the condition must hold before it fires."""
    keep: str = ""
    """Time for which it goes on firing after the condition has ended."""

    def rule(self, links: Links) -> dict[str, Any]:
        """Return the rule as the rule file has it."""
        timing = {"for": self.hold.removeprefix("0s"), "keep_firing_for": self.keep}
        return {
            "alert": self.name,
            "expr": self.expr,
            **{name: value for name, value in timing.items() if value},
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{links.runbooks}/{self.name}.md",
                "dashboard_url": links.dashboard(self.dashboard, self.variables),
                "trace_url": links.trace(self.traces),
            },
        }


def of_label(name: str) -> str:
    """Return the template for the value of a label."""
    return "{{ $labels." + name + " }}"


def _quoted(text: str) -> str:
    """Quote a URL's part; templates stay as they are, for ids need no quoting."""
    parts = text.split("{{ ")
    rest = (part.partition(" }}") for part in parts[1:])
    return quote(parts[0]) + "".join(
        "{{ " + template + " }}" + quote(after) for template, _, after in rest
    )
