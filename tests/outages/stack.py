"""Redis, Collector, Prometheus, Alertmanager and the service, with waiting times as shipped."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector.conftest import collector_binary
from collector.harness import Collector
from collector.standin import StandIn
from dashboards.rules import build
from outages import history
from outages.robots import Fleet
from outages.ruler import Ruler
from rules.servers import alertmanager, prometheus, query
from rules.standins import Heartbeat, PagerDuty
from support.dashboards import filled, panel_of
from support.http import LOCAL
from support.redis import RedisServer
from support.service import ServiceProcess, service

SCRAPE = "5s"
EXPORT_MS = "2000"
"""As compose.yaml has them."""


@dataclass
class Pager(PagerDuty):
    """PagerDuty's stand-in, which knows when what arrived."""

    arrived: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Take an event."""
        self.arrived.append((time.monotonic(), json.loads(body)))
        return super().answer(path, body)


@dataclass
class Stack:
    """Servers that run, and the fleet."""

    redis: RedisServer
    collector: Collector
    services: list[ServiceProcess]
    fleet: Fleet
    prometheus: str
    pager: Pager
    ruler: Ruler
    variables: dict[str, str]
    starting: ExitStack

    def start(self) -> None:
        """Start one more instance."""
        started = service(**self.variables)
        self.services.append(self.starting.enter_context(started))

    def fired(self, minutes: float) -> set[str]:
        """Return the alerts that have fired, paged or not."""
        firing = f'ALERTS{{alertstate="firing",severity!="none"}}[{minutes * 60:.0f}s]'
        told = f"count by (alertname) (count_over_time({firing}))"
        found = {one["metric"]["alertname"] for one in query(self.prometheus, told)}
        return found | self.ruler.fired

    def lost(self) -> float:
        """Return how many robots *Fleet overview* shows as lost."""
        (target,) = panel_of("fleet.json", "Robots lost")["targets"]
        (shown,) = query(self.prometheus, filled(target["expr"]))
        return float(shown["value"][1])


@contextmanager
def running(directory: Path, robots: dict[str, int], instances: int = 2) -> Iterator[Stack]:
    """Run everything until the end of the block.

    Args:
        directory: Where the servers' data lie.
        robots: How many robots there are, by site.
        instances: How many instances there are.
    """
    redis = RedisServer(directory, options=("--appendonly", "yes"))
    tsdb = directory / "tsdb"
    tsdb.mkdir()
    history.write(tsdb, directory)
    with ExitStack() as stack:
        redis.start()
        stack.callback(redis.stop)
        records = stack.enter_context(StandIn())
        collector = stack.enter_context(
            Collector(
                collector_binary(),
                directory,
                *("base.yaml", "vendors/otlp.yaml"),
                CHARTER_OTLP_ENDPOINT=records.url,
            )
        )
        pager = stack.enter_context(Pager())
        manager = stack.enter_context(
            alertmanager(
                directory,
                pager.address,
                stack.enter_context(Heartbeat()).address,
                as_shipped=True,
            )
        )
        targets = {
            "charter-otel": collector.prometheus.split("/")[2],
            "otelcol-charter": collector.telemetry.split("/")[2],
        }
        server = stack.enter_context(
            prometheus(directory, build.prometheus(), targets, manager, SCRAPE, resend="1m")
        )
        ruler = Ruler(records, manager)
        stack.enter_context(ruler.ruling())
        variables = {
            "CHARTER_EVENT_STREAM": redis.url,
            "CHARTER_CONSUMERS": "status,audit",
            "CHARTER_ROBOT_LABELS": "site",
            "CHARTER_LOG_FORMAT": "json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http,
            "OTEL_METRIC_EXPORT_INTERVAL": EXPORT_MS,
        }
        made = Stack(
            *(redis, collector, [], Fleet(list, {}), server, pager, ruler, variables),
            stack.enter_context(ExitStack()),
        )
        for _ in range(instances):
            made.start()
        made.fleet = Fleet(lambda: [one.websocket for one in made.services], robots)
        stack.enter_context(made.fleet.living())
        yield made


def versions(stack: Stack) -> str:
    """Return Prometheus's version."""
    answer = LOCAL.get(f"http://{stack.prometheus}/api/v1/status/buildinfo").json()
    told: str = answer["data"]["version"]
    return told
