"""A stand-in for Loki's ruler: the two alerts of `charter.loki.yaml`, from the Collector's records.

Loki itself is not among the servers that this machine can build. The records, their attributes and
the alerts' texts are the real ones; only the query is played here.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from charter_otel.charter import EXPECTED_CLOSE_REASONS, EventType
from charter_otel.otel import semconv
from collector.harness import plain
from collector.standin import StandIn
from dashboards.promql import label
from dashboards.rules import logs
from dashboards.rules.alert import Links
from dashboards.rules.thresholds import Thresholds

WINDOW = 300.0
EVERY = 15.0
_ASKED = {
    "JobRunFailed": (
        semconv.CHARTER_JOB_ID,
        semconv.CHARTER_JOB_ERROR_TYPE,
        semconv.CHARTER_JOB_ERROR_MESSAGE,
        semconv.CHARTER_EVENT_CORRELATION_ID,
    ),
    "RobotDisconnected": (
        semconv.CHARTER_ROBOT_ID,
        semconv.CHARTER_CONNECTION_CLOSE_REASON,
        semconv.CHARTER_EVENT_CORRELATION_ID,
        "charter.robot.label.site",
    ),
}
"""The labels that each query keeps; there is one alert for each value of the first one."""


class Ruler:
    """Evaluates both rules, and sends what fires to Alertmanager."""

    def __init__(self, records: StandIn, alertmanager: str) -> None:
        self.fired: set[str] = set()
        self._records, self._alertmanager = records, alertmanager
        self._rules = {one.name: one.rule(Links()) for one in logs.alerts(Thresholds())}
        self._over = threading.Event()

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Evaluate until the end of the block."""
        thread = threading.Thread(target=self._rule)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _rule(self) -> None:
        while not self._over.wait(EVERY):
            firing = [self._alert(name, labels) for name, labels in self._found()]
            self.fired |= {alert["labels"]["alertname"] for alert in firing}
            if firing:
                url = f"http://{self._alertmanager}/api/v2/alerts"
                httpx.post(url, json=firing).raise_for_status()

    def _found(self) -> list[tuple[str, dict[str, str]]]:
        since = (time.time() - WINDOW) * 1e9
        newest: dict[tuple[str, str], dict[str, str]] = {}
        for record in self._records.records():
            values = plain(record.attributes)
            name = _alert_of(values)
            if name and record.time_unix_nano >= since:
                kept = {label(k): str(values[k]) for k in _ASKED[name] if k in values}
                newest[name, str(values[_ASKED[name][0]])] = kept
        return [(name, labels) for (name, _), labels in newest.items()]

    def _alert(self, name: str, labels: dict[str, str]) -> dict[str, Any]:
        rule = self._rules[name]

        def told(texts: dict[str, str]) -> dict[str, str]:
            return {
                key: re.sub(r"{{ \$labels\.(\w+) }}", lambda at: labels.get(at[1], ""), text)
                for key, text in texts.items()
            }

        ends = datetime.now(UTC) + timedelta(seconds=4 * EVERY)
        return {
            "labels": {**labels, **told(rule["labels"]), "alertname": name},
            "annotations": told(rule["annotations"]),
            "endsAt": ends.isoformat(),
        }


def _alert_of(values: dict[str, Any]) -> str:
    match values.get(semconv.CHARTER_EVENT_TYPE):
        case EventType.METRICS_AGGREGATION_FAILED:
            return "JobRunFailed"
        case EventType.TELEMETRY_CONNECTION_CLOSED:
            meant = values[semconv.CHARTER_CONNECTION_CLOSE_REASON] in EXPECTED_CLOSE_REASONS
            return "" if meant else "RobotDisconnected"
    return ""
