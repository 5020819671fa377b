"""Stats against the truth: what the events of a run add up to, and what the panels' queries say.

The run has a second instance, a mass close, a clean restart and a killed instance. So series end,
begin in a process's last export, and begin anew.
"""

import contextlib
import json
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
from support.dashboards import dashboards, filled, panels
from support.polling import wait_until
from support.redis import RedisServer, redis_binary
from support.service import ServiceProcess, patient_service

pytestmark = pytest.mark.timeout(300)

SECOND = 1.0
ENTRIES = 40
"""Missions that the job counts."""
SCALES = {
    "cpu_usage": 100,
    "memory_usage": 100,
    "battery_percentage": 100,
    "network_latency_ms": 1000,
}
"""Readings in the order of the table's columns, and what a metric's unit is of them."""
TABLES = ("Readings", "Emptiest batteries", "Busiest processors", "Offline now")
OF_NOW = (
    ("fleet.json", "Connections"),
    ("fleet.json", "Robots lost"),
    ("fleet.json", "Low batteries"),
    ("incidents.json", "Overloaded robots"),
    ("incidents.json", "Flapping robots"),
    ("analytics.json", "Mean battery"),
    ("pipeline.json", "Event stream"),
)
SETTLED = 12.0
"""Seconds until the last export has been scraped."""


class Run:
    """A run whose events are known."""

    def __init__(self, prometheus: str) -> None:
        self.prometheus = prometheus
        self.began = time.time()
        self.events: list[dict[str, Any]] = []
        self.readings: dict[str, dict[str, float]] = {}
        """The readings that each robot sent, while two instances lived."""
        self.numbers: dict[str, float] = {}
        """Values of the stats of now at that time, by title,"""
        self.rows: dict[str, list[dict[str, float]]] = {}
        """and tables and rankings: of each query, the value of each robot."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of a type of event."""
        return [event["payload"] for event in self.events if event["type"] == kind]

    def shown(self, dashboard: str, title: str) -> float:
        """Return what a stat shows for the whole run."""
        (((sample),),) = self.asked(dashboard, title)
        return float(sample["value"][1])

    def asked(self, dashboard: str, title: str) -> list[list[dict[str, Any]]]:
        """Return the samples of each query of a panel, for the whole run."""
        shown = panels(dashboards()[dashboard])
        (panel,) = (panel for panel in shown if panel["title"] == title)
        seconds = int(time.time() - self.began)
        times = {"__range": f"{seconds}s", "__range_s": str(seconds)}
        return [
            query(self.prometheus, filled(target["expr"], **times)) for target in panel["targets"]
        ]

    def look(self) -> None:
        """Keep what the panels of now show, once all readings are there."""

        def rows(title: str) -> list[dict[str, float]]:
            return [
                {one["metric"]["charter_robot_id"]: float(one["value"][1]) for one in samples}
                for samples in self.asked("fleet.json", title)
            ]

        everybody = self.readings.keys()
        wait_until(
            lambda: all(each.keys() == everybody for each in rows("Readings")), "all readings", 30
        )
        self.rows = {title: rows(title) for title in TABLES}
        self.numbers = {title: self.shown(dashboard, title) for dashboard, title in OF_NOW}


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


def test_durations_and_entries_of_the_job(run: Run) -> None:
    """Their mean and their sum, but for one export of the killed instance."""
    completed = run.of("metrics.aggregation_completed")
    entries = sum(each["entries_processed"] for each in completed)
    assert entries >= ENTRIES
    assert run.shown("analytics.json", "Entries") == pytest.approx(entries, abs=3)
    mean = statistics.mean(each["duration_ms"] for each in completed) / 1000
    assert run.shown("analytics.json", "Mean run") == pytest.approx(mean, rel=0.25)


def test_nothing_was_dropped(run: Run) -> None:
    """Zero is a number, not an empty panel."""
    for title in ("Events dropped", "Lines dropped", "Dead letters"):
        assert run.shown("pipeline.json", title) == 0


def test_stats_of_now(run: Run) -> None:
    """Of the robots of two instances, each once; a fleet that left is not lost."""
    batteries = [reading["battery_percentage"] for reading in run.readings.values()]
    assert len(batteries) == 16
    assert run.numbers == {
        "Connections": 16,
        "Robots lost": 3,
        "Low batteries": sum(battery < 20 for battery in batteries),
        "Overloaded robots": sum(each["cpu_usage"] > 90 for each in run.readings.values()),
        "Flapping robots": 0,
        "Mean battery": pytest.approx(statistics.mean(batteries) / 100),
        "Event stream": 1,
    }
    assert run.numbers["Low batteries"] == 4
    assert run.numbers["Overloaded robots"] == 2


def test_tables_to_the_last_row(run: Run) -> None:
    """Every robot that is connected is in the table with all its readings, and nobody else is."""
    wanted = {
        name: {robot: reading[name] / scale for robot, reading in run.readings.items()}
        for name, scale in SCALES.items()
    }
    assert run.rows["Readings"] == [pytest.approx(wanted[name]) for name in SCALES]
    for title, name, most in (
        ("Emptiest batteries", "battery_percentage", False),
        ("Busiest processors", "cpu_usage", True),
    ):
        ten = sorted(wanted[name].items(), key=lambda each: each[1], reverse=most)[:10]
        assert run.rows[title] == [pytest.approx(dict(ten))]
    assert run.rows["Offline now"][0].keys() == {f"robot_lost_{n}" for n in range(3)}


def _play(run: Run, redis: str, collector: str) -> None:
    variables = {
        "CHARTER_EVENT_STREAM": redis,
        "CHARTER_AGGREGATION_INTERVAL": "1",
        "CHARTER_LEASE_SECONDS": "2",
        "CHARTER_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }
    with patient_service(60, **variables) as stays:
        with patient_service(60, **variables) as restarted:
            _lose(restarted, 3)
            with _fleet(restarted, 25):
                time.sleep(6 * SECOND)
                # A mass close: all of it is in the process's last export.
                restarted.stop()
            run.events += restarted.events()
        with patient_service(60, **variables) as killed:
            _lose(stays, 3)
            with _fleet(stays, 6, run.readings), _fleet(killed, 10, run.readings):
                stays.post(
                    "/api/metrics/missions",
                    [{"mission_id": f"m{n}", "status": "completed"} for n in range(ENTRIES)],
                )
                time.sleep(8 * SECOND)
                run.look()
                killed.process.kill()
                time.sleep(10 * SECOND)
            _lose(stays, 2)
            time.sleep(6 * SECOND)
            run.events += killed.events()
        run.events += stays.events()


@contextlib.contextmanager
def _fleet(
    at: ServiceProcess, robots: int, readings: dict[str, dict[str, float]] | None = None
) -> Iterator[None]:
    """Connect robots; with ``readings``, each sends one, and it is noted there."""
    with contextlib.ExitStack() as stack:
        for number in range(robots):
            stack.enter_context(contextlib.suppress(ConnectionClosed))
            name = f"robot_{id(at)}_{number}"
            robot = stack.enter_context(connect(f"{at.websocket}/api/telemetry/ws/{name}"))
            if readings is not None:
                readings[name] = _reading(len(readings))
                robot.send(json.dumps(readings[name]))
        yield


def _reading(number: int) -> dict[str, float]:
    """Return other numbers for each robot: 4 batteries of 16 are low, 2 processors are busy."""
    return {
        "cpu_usage": 98.0 - 5 * number,
        "memory_usage": 30.0 + number,
        "battery_percentage": 5.0 + 4.5 * number,
        "network_latency_ms": 10.0 + number,
    }


def _lose(at: ServiceProcess, robots: int) -> None:
    """Let robots vanish without a close frame."""
    for number in range(robots):
        address = f"{at.websocket}/api/telemetry/ws/robot_lost_{number}"
        with contextlib.suppress(ConnectionClosed), connect(address) as robot:
            time.sleep(SECOND)
            robot.socket.shutdown(2)
