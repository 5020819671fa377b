"""Stats against the truth: what the events of a run add up to, and what the panels' queries say.

The run has a second instance, a mass close, a clean restart and a killed instance. So series end,
begin in a process's last export, and begin anew.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from charter_otel.charter import EXPECTED_CLOSE_REASONS
from collector.conftest import collector_binary
from collector.harness import Collector
from dashboards.rules import build
from rules.servers import prometheus, query, tool
from support.dashboards import dashboards, filled
from support.redis import RedisServer, redis_binary
from support.service import ServiceProcess, service

pytestmark = pytest.mark.timeout(300)

SECOND = 1.0
SETTLED = 12.0
"""Seconds until the last export has been scraped."""


class Run:
    """A run whose events are known."""

    def __init__(self, prometheus: str) -> None:
        self.prometheus = prometheus
        self.began = time.time()
        self.events: list[dict[str, Any]] = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of a type of event."""
        return [event["payload"] for event in self.events if event["type"] == kind]

    def shown(self, dashboard: str, title: str) -> float:
        """Return what a stat shows for the whole run."""
        panels = dashboards()[dashboard]["panels"]
        (panel,) = (panel for panel in panels if panel["title"] == title)
        seconds = int(time.time() - self.began)
        asked = filled(panel["targets"][0]["expr"], __range=f"{seconds}s", __range_s=str(seconds))
        ((sample),) = query(self.prometheus, asked)
        return float(sample["value"][1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Play the run once, and wait until Prometheus has all of it."""
    binary = collector_binary()
    tool("prometheus", "prometheus")
    redis_binary()
    directory: Path = tmp_path_factory.mktemp("truth")
    redis = RedisServer(directory)
    redis.start()
    try:
        with (
            Collector(binary, directory, "base.yaml") as collector,
            prometheus(
                directory,
                build.prometheus(),
                {
                    "charter-otel": collector.prometheus.split("/")[2],
                    "otelcol-charter": collector.telemetry.split("/")[2],
                },
                "127.0.0.1:9",
                "2s",
            ) as server,
        ):
            playing = Run(server)
            time.sleep(SETTLED)
            _play(playing, redis.url, collector.http)
            time.sleep(SETTLED)
            yield playing
    finally:
        redis.stop()


def test_connections_that_ended(run: Run) -> None:
    """Their mean and the share of short ones, each connection once."""
    durations = [closed["duration_seconds"] for closed in run.of("telemetry.connection_closed")]
    assert len(durations) > 40
    assert run.shown("analytics.json", "Mean connection") == pytest.approx(
        statistics.mean(durations), rel=0.01
    )
    short = sum(duration < 60 for duration in durations) / len(durations)
    assert run.shown("analytics.json", "Short connections") == pytest.approx(short, abs=0.001)
    assert run.shown("incidents.json", "Short connections") == sum(d < 60 for d in durations)


def test_connections_that_nobody_meant_to_end(run: Run) -> None:
    """Those of the killed instance too, which another one closed."""
    lost = [
        closed
        for closed in run.of("telemetry.connection_closed")
        if closed["reason"] not in EXPECTED_CLOSE_REASONS
    ]
    assert {closed["reason"] for closed in lost} == {"server_lost", "connection_lost"}
    assert run.shown("incidents.json", "Lost connections") == len(lost)


def test_runs_of_the_job(run: Run) -> None:
    """All that ended, over all instances and restarts."""
    completed = run.of("metrics.aggregation_completed")
    failed = run.of("metrics.aggregation_failed")
    # A killed instance may have emitted what it never exported: one export's worth.
    ended = len(completed) + len(failed)
    assert ended - 3 <= run.shown("analytics.json", "Runs") <= ended
    assert run.shown("incidents.json", "Failed runs") == len(failed)


def _play(run: Run, redis: str, collector: str) -> None:
    variables = {
        "CHARTER_EVENT_STREAM": redis,
        "CHARTER_AGGREGATION_INTERVAL": "1",
        "CHARTER_LEASE_SECONDS": "2",
        "CHARTER_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }
    with service(**variables) as stays:
        with service(**variables) as restarted:
            _lose(restarted, 3)
            with _fleet(restarted, 25):
                time.sleep(6 * SECOND)
                # A mass close: all of it is in the process's last export.
                restarted.stop()
            run.events += restarted.events()
        with service(**variables) as killed:
            with _fleet(stays, 6), _fleet(killed, 10):
                time.sleep(8 * SECOND)
                killed.process.kill()
                time.sleep(10 * SECOND)
            _lose(stays, 2)
            time.sleep(6 * SECOND)
            run.events += killed.events()
        run.events += stays.events()


@contextlib.contextmanager
def _fleet(at: ServiceProcess, robots: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for number in range(robots):
            stack.enter_context(contextlib.suppress(ConnectionClosed))
            address = f"{at.websocket}/api/telemetry/ws/robot_{id(at)}_{number}"
            stack.enter_context(connect(address))
        yield


def _lose(at: ServiceProcess, robots: int) -> None:
    """Let robots vanish without a close frame."""
    for number in range(robots):
        address = f"{at.websocket}/api/telemetry/ws/robot_lost_{number}"
        with contextlib.suppress(ConnectionClosed), connect(address) as robot:
            time.sleep(SECOND)
            robot.socket.shutdown(2)
