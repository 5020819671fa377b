"""A run of the service whose events are known, and what panels show of it.

It has a second instance, a mass close, a clean restart and a killed instance.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from rules.servers import query
from support.dashboards import dashboards, filled, panels
from support.polling import wait_until
from support.service import ServiceProcess, patient_service

SECOND = 1.0
ENTRIES = 40
"""Missions that the job counts."""
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
        self.looked = 0.0
        """Unix seconds of that time, how long ago a run had completed,"""
        self.good_run_ago = 0.0
        self.instances: list[dict[str, float]] = []
        """and of each query of the table of instances, the value of each instance."""

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
        self.looked = time.time()
        self.good_run_ago = self.shown("fleet.json", "Last good run")
        self.instances = [
            {one["metric"]["instance"]: float(one["value"][1]) for one in samples}
            for samples in self.asked("pipeline.json", "Instances")
        ]


def play(run: Run, redis: str, collector: str) -> None:
    """Play the run, with a service whose stream is in Redis and whose Collector is given."""
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
