"""The way from the service to a page: Collector, Prometheus, Alertmanager, PagerDuty."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from collector.conftest import collector_binary
from collector.harness import Collector
from rules.servers import alertmanager, query, scraping
from rules.standins import Heartbeat, PagerDuty
from support.dashboards import filled, panel_of
from support.redis import RedisServer, redis_binary


class Stack(NamedTuple):
    """Running servers, with a stand-in for PagerDuty; a test starts the services."""

    variables: dict[str, str]
    """Environment of a service that sends to them."""
    redis: RedisServer
    prometheus: str
    alertmanager: str
    pagerduty: PagerDuty

    def firing(self, name: str) -> list[dict[str, Any]]:
        """Return the alerts that fire under a name."""
        return query(self.prometheus, f'ALERTS{{alertname="{name}", alertstate="firing"}}')

    def shows(self, dashboard: str, title: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the numbers that a panel's queries yield, now or as of a Unix time."""
        found = itertools.chain.from_iterable(self.asked(dashboard, title, at))
        return [one for one in found if one["value"][1] != "NaN"]

    def asked(
        self, dashboard: str, title: str, at: float | None = None
    ) -> list[list[dict[str, Any]]]:
        """Return what each query of a panel yields, likewise."""
        targets = panel_of(dashboard, title)["targets"]
        return [query(self.prometheus, filled(target["expr"]), at) for target in targets]


@contextmanager
def servers(directory: Path, rules: str, *, every: int, scrape: str) -> Iterator[Stack]:
    """Run all but the service; skip the test if a program is missing.

    Args:
        directory: Where their data and logs go.
        rules: Text of the rule file.
        every: Seconds between two runs of the service's job, and between two exports.
        scrape: Time between two scrapes.
    """
    binary = collector_binary()
    redis_binary()
    redis = RedisServer(directory)
    redis.start()
    try:
        with (
            Collector(binary, directory, "base.yaml") as collector,
            PagerDuty() as pagerduty,
            Heartbeat() as heartbeat,
            alertmanager(directory, pagerduty.address, heartbeat.address) as manager,
            scraping(collector, directory, rules, scrape, manager) as server,
        ):
            variables = {
                "CHARTER_EVENT_STREAM": redis.url,
                "CHARTER_AGGREGATION_INTERVAL": str(every),
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http,
                "OTEL_METRIC_EXPORT_INTERVAL": str(1000 * every),
            }
            yield Stack(variables, redis, server, manager, pagerduty)
    finally:
        redis.stop()
