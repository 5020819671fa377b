"""A stand-in for Loki's ruler: the two alerts of `charter.loki.yaml`, from the Collector's records.

The records, the queries and the alerts' texts are the real ones.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.standin import StandIn
from dashboards.rules import logs
from dashboards.rules.alert import Links
from dashboards.rules.thresholds import Thresholds
from support import logql
from support.http import LOCAL

EVERY = 15.0


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
                LOCAL.post(url, json=firing).raise_for_status()

    def _found(self) -> list[tuple[str, dict[str, str]]]:
        records = logql.stored(self._records.requests)
        return [
            (name, dict(labels))
            for name, rule in self._rules.items()
            for labels in logql.vector(rule["expr"], records, time.time())
        ]

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
