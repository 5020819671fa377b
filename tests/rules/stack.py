"""The way from the service to a page: Collector, Prometheus, Alertmanager, PagerDuty."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from collector.conftest import collector_binary
from collector.harness import Collector
from rules.servers import alertmanager, prometheus, query
from rules.standins import Heartbeat, PagerDuty
from support.dashboards import dashboards, filled
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

    def shows(self, dashboard: str, title: str) -> list[dict[str, Any]]:
        """Return what a panel's first query yields now."""
        panels = dashboards()[dashboard]["panels"]
        (panel,) = (panel for panel in panels if panel["title"] == title)
        return query(self.prometheus, filled(panel["targets"][0]["expr"]))


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
            prometheus(
                directory,
                rules,
                {
                    "charter-otel": collector.prometheus.split("/")[2],
                    "otelcol-charter": collector.telemetry.split("/")[2],
                },
                manager,
                scrape,
            ) as server,
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
