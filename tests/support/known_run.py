"""A run of the service whose events are known, and what panels show of it.

It has a second instance, a mass close, a clean restart, a killed instance and failed runs.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from collector.conftest import collector_binary
from collector.harness import Collector
from collector.standin import StandIn
from dashboards.rules import build
from rules.servers import query, scraping, tool
from support.dashboards import filled, panel_of
from support.logql import Record, stored
from support.missions import unreadable_missions
from support.polling import wait_until
from support.redis import RedisServer, redis_binary
from support.service import ServiceProcess, service

SITES = ("berlin", "kyoto")
"""Every other robot that does not vanish is of the one, every third has one firmware of three."""
VANISHING = 'charter_robot_online{charter_robot_id=~"robot_lost_.*"}'
RELEASED = 25
"""Robots that a restart releases, and that do not come back;"""
LOST, KILLED = 3, 10
"""those that vanish, and those of an instance that is killed."""
ENTRIES = 40
"""Missions that the job counts."""
FAILED = 2
"""Runs that fail, at least."""
TABLES = ("Readings", "Emptiest batteries", "Busiest processors", "Offline now")
OF_NOW = (
    ("fleet.json", "Connections"),
    ("fleet.json", "Robots lost"),
    ("fleet.json", "Low batteries"),
    ("incidents.json", "Overloaded robots"),
    ("incidents.json", "Flapping robots"),
    ("analytics.json", "Mean battery"),
    ("pipeline.json", "Event stream"),
    ("pipeline.json", "Age of data"),
    ("pipeline.json", "Publishing queue"),
)
RECENT = 8
"""Seconds that Grafana takes for a rate: four scrapes. Nobody came or went then."""
RATES = (("fleet.json", "Slowest runs"), ("fleet.json", "Events"))


class Run:
    """A run whose events are known."""

    def __init__(self, prometheus: str) -> None:
        self.prometheus = prometheus
        self.began = time.time()
        self.ended: float | None = None
        """Unix seconds as of which everything is asked; None for now."""
        self.events: list[dict[str, Any]] = []
        self.records: list[Record] = []
        """The records that the Collector sent to Loki."""
        self.readings: dict[str, dict[str, float]] = {}
        """The readings that each robot sent, while two instances lived."""
        self.numbers: dict[str, float] = {}
        """Values of the stats of now at that time, by title,"""
        self.of_berlin: dict[str, float] = {}
        """those of one site,"""
        self.rows: dict[str, list[dict[str, float]]] = {}
        """and tables and rankings: of each query, the value of each robot."""
        self.looked = 0.0
        """Unix seconds of that time, how long ago a run had completed,"""
        self.good_run_ago = 0.0
        self.instances: list[dict[str, float]] = []
        """of each query of the table of instances, the value of each instance,"""
        self.rates: dict[str, float] = {}
        """and values of the stats of what happened recently."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of a type of event."""
        return [event["payload"] for event in self.events if event["type"] == kind]

    def shown(self, dashboard: str, title: str, **chosen: str) -> float:
        """Return what a stat shows for the whole run; ``chosen`` are values of variables."""
        (((sample),),) = self.asked(dashboard, title, **chosen)
        return float(sample["value"][1])

    def asked(self, dashboard: str, title: str, **chosen: str) -> list[list[dict[str, Any]]]:
        """Return the samples of each query of a panel, for the whole run."""
        seconds = int((self.ended or time.time()) - self.began)
        times = {
            "__range": f"{seconds}s",
            "__range_s": str(seconds),
            "__rate_interval": f"{RECENT}s",
        }
        return [
            query(self.prometheus, filled(target["expr"], **times, **chosen), self.ended)
            for target in panel_of(dashboard, title)["targets"]
        ]

    def loses(self, robots: int) -> None:
        """Wait until exactly so many robots are shown as lost."""
        lost = partial(self.shown, "fleet.json", "Robots lost")
        wait_until(lambda: lost() == robots, f"{robots} robots are lost", 40, every=0.5)

    def connects(self, robots: int) -> None:
        """Wait until exactly so many connections are shown."""
        shown = partial(self.shown, "fleet.json", "Connections")
        wait_until(lambda: shown() == robots, f"{robots} connections", 40, every=0.5)

    def is_scraped(self, times: int) -> None:
        """Wait until Prometheus has asked the Collector so often again."""
        seen = set[str]()

        def asked() -> bool:
            for up in query(self.prometheus, 'timestamp(up{job="charter-otel"} == 1)'):
                seen.add(up["value"][1])
            return len(seen) > times

        wait_until(asked, f"{times} scrapes", 60, every=0.5)

    def sees(self, robots: int) -> None:
        """Wait until exactly so many of the robots that vanish are online in Prometheus."""
        self._gets(f"{VANISHING} == 1", robots, f"{robots} of the robots that vanish are online")

    def adopts(self) -> None:
        """Wait until a second instance tells of the robots that vanished."""
        instances = f"count by (instance) (last_over_time({VANISHING}[5m]))"
        self._gets(instances, 2, "the robots that vanished are adopted")

    def _gets(self, expression: str, samples: int, what: str) -> None:
        found = partial(query, self.prometheus, expression, None)
        wait_until(lambda: len(found()) == samples, what, 40, every=0.5)

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
        self.of_berlin = {
            title: self.shown(dashboard, title, site=SITES[0])
            for dashboard, title in OF_NOW
            if title in {"Connections", "Robots lost"}
        }
        self.looked = time.time()
        self.rates = {title: self.shown(dashboard, title) for dashboard, title in RATES}
        self.good_run_ago = self.shown("fleet.json", "Last good run")
        self.instances = [
            {one["metric"]["instance"]: float(one["value"][1]) for one in samples}
            for samples in self.asked("pipeline.json", "Instances")
        ]


@contextlib.contextmanager
def played(directory: Path) -> Iterator[Run]:
    """Play the run, and wait until Prometheus and Loki's stand-in have all of it.

    Skips where a program is missing.
    """
    binary = collector_binary()
    tool("prometheus", "prometheus")
    redis_binary()
    redis = RedisServer(directory)
    redis.start()
    try:
        with (
            StandIn() as sent,
            Collector(
                binary,
                directory,
                *("base.yaml", "vendors/loki-tempo.yaml"),
                CHARTER_LOKI_ENDPOINT=sent.url,
                CHARTER_TEMPO_ENDPOINT=sent.url,
            ) as collector,
            scraping(collector, directory, build.prometheus(), "2s") as server,
        ):
            run = Run(server)
            run.is_scraped(3)
            _play(run, redis, collector.http)
            run.is_scraped(5)
            firing = partial(run.shown, "incidents.json", "Alerts firing")
            # They are recorded at most every 15 s.
            wait_until(firing, "the alerts are recorded", 40, every=0.5)
            run.ended = time.time()
            run.records = stored(sent.requests)
            yield run
    finally:
        redis.stop()


def _play(run: Run, redis: RedisServer, collector: str) -> None:
    """Play the run, with a service whose stream is in Redis and whose Collector is given."""
    variables = {
        "CHARTER_EVENT_STREAM": redis.url,
        "CHARTER_AGGREGATION_INTERVAL": "1",
        "CHARTER_LEASE_SECONDS": "2",
        "CHARTER_ROBOT_LABELS": "site,firmware",
        "CHARTER_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }
    with service(**variables) as stays:
        with service(**variables) as restarted:
            _lose(run, restarted, LOST)
            with _fleet(restarted, RELEASED):
                run.connects(RELEASED)
                # A mass close: all of it is in the process's last export.
                restarted.stop()
            run.events += restarted.events()
        # Else the next instance may be the one that tells of them.
        run.adopts()
        with service(**variables) as killed:
            _lose(run, stays, LOST)
            with _fleet(stays, 6, run.readings), _fleet(killed, KILLED, run.readings):
                stays.post(
                    "/api/metrics/missions",
                    [{"mission_id": f"m{n}", "status": "completed"} for n in range(ENTRIES)],
                )
                time.sleep(RECENT)
                run.loses(RELEASED + LOST)
                run.look()
                killed.process.kill()
                run.loses(RELEASED + LOST + KILLED)
            _lose(run, stays, 2)
            with unreadable_missions(redis):
                failed = partial(stays.events, "metrics.aggregation_failed")
                wait_until(lambda: len(failed()) >= FAILED, "runs failed", 20)
            run.is_scraped(3)
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
            labels = f"label.site={SITES[number % 2]}&label.firmware=2.{number % 3}"
            address = f"{at.websocket}/api/telemetry/ws/{name}?{labels}"
            robot = stack.enter_context(connect(address))
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


def _lose(run: Run, at: ServiceProcess, robots: int) -> None:
    """Let robots vanish without a close frame; each state is seen before the next one."""
    address = f"{at.websocket}/api/telemetry/ws/robot_lost_"
    with contextlib.ExitStack() as stack:
        vanishing = []
        for number in range(robots):
            stack.enter_context(contextlib.suppress(ConnectionClosed))
            vanishing.append(stack.enter_context(connect(f"{address}{number}")))
        run.sees(robots)
        for robot in vanishing:
            robot.socket.shutdown(2)
        run.sees(0)
