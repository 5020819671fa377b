"""The queries that runbooks and alerts tell a person to ask."""

import re
from collections.abc import Iterator

from dashboards.rules import build
from support.dashboards import Target, declared

_ROBOT = "robot_000"
_ID = "0123456789abcdef0123456789abcdef"


def promql() -> list[Target]:
    """Return the PromQL of the runbooks, with a robot where the reader puts one."""
    series = re.compile(rf"\b({'|'.join(declared())})\b|__name__")
    return [
        Target(where, "prometheus", text)
        for where, text in _codes()
        if series.search(text) and "{service_name" not in text
    ]


def logql() -> list[Target]:
    """Return the LogQL of the runbooks, with ids where the reader puts some."""
    return [Target(where, "loki", text) for where, text in _codes() if "{service_name" in text]


def traceql() -> list[Target]:
    """Return the TraceQL that the links of pages search with, its templates filled."""
    return [
        Target(alert.name, "tempo", re.sub(r"{{ \$labels\.\w+ }}", _ROBOT, alert.traces))
        for alert in build.alerts()
        if alert.traces.startswith("{ ")
    ]


def _codes() -> Iterator[tuple[str, str]]:
    for path in sorted(build.RUNBOOKS.glob("*.md")):
        for text in re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8")):
            yield f"runbook {path.stem}", text.replace("<robot>", _ROBOT).replace("<id>", _ID)
