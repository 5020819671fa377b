"""A whole installation: service, Collector, Prometheus, and a fleet to which everything happens."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from collector.conftest import collector_binary
from collector.harness import Collector
from collector.standin import StandIn
from dashboards import promql
from dashboards.rules import build
from rules.servers import scraping, tool
from support.http import LOCAL
from support.missions import MISSIONS, unreadable_missions
from support.polling import wait_until
from support.redis import RedisServer, redis_binary
from support.redis_exporter import exporting
from support.service import ServiceProcess, service

PRESENCE = "{charter}:presence"
EXPORT_MS = 2_000
SCRAPE_S = 5
"""As the README says, and as the data source's `timeInterval`."""
SUBSCRIBER = Path(__file__).parents[1] / "dashboards" / "subscriber.py"


@dataclass
class Installation:
    """The service, twice, with Redis, the Collector and Prometheus."""

    services: tuple[ServiceProcess, ServiceProcess]
    redis: RedisServer
    prometheus: str
    started: float = field(default_factory=time.time)

    def ask(self, query: str, *, instant: bool = True) -> list[dict[str, Any]]:
        """Return the series that a query yields, now or since the start, but those of NaN only."""
        now = time.time()
        url = f"http://{self.prometheus}/api/v1/query"
        asked: dict[str, str | float] = {"query": query}
        if not instant:
            url += "_range"
            asked |= {"start": self.started, "end": now, "step": SCRAPE_S}
        answer = LOCAL.post(url, data=asked).json()
        assert answer["status"] == "success", answer
        series: list[dict[str, Any]] = answer["data"]["result"]
        return [one for one in series if any(value != "NaN" for value in _values(one))]

    def offered(self, selector: str, name: str) -> list[str]:
        """Return the values of a label, as a variable of a dashboard offers them."""
        url = f"http://{self.prometheus}/api/v1/label/{name}/values"
        answer = LOCAL.get(url, params={"match[]": selector} if selector else {}).json()
        values: list[str] = answer["data"]
        return values

    def exemplars(self, name: str) -> list[dict[str, Any]]:
        """Return the exemplars of a metric since the start."""
        url = f"http://{self.prometheus}/api/v1/query_exemplars"
        asked: dict[str, str | float] = {"query": name, "start": self.started, "end": time.time()}
        found = LOCAL.get(url, params=asked).json()["data"]
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def connect(self, robot: str, at: int = 0) -> AbstractContextManager[ClientConnection]:
        """Connect a robot; it disconnects on the way out."""
        labels = "&".join(f"label.{name}=here" for name in promql.GROUPS)
        url = f"{self.services[at].websocket}/api/telemetry/ws/{robot}?{labels}"
        # Looking for a proxy would read the environment, which pytest changes beside this thread.
        return connect(url, proxy=None)


@contextlib.contextmanager
def metrics_only(binary: Path, directory: Path) -> Iterator[Collector]:
    """Run the Collector with a back end that takes metrics and refuses the rest for good."""
    extra = directory / "console.yaml"
    exporters = {"exporters": ["debug", "otlp_http/backend"]}
    extra.write_text(
        json.dumps({"service": {"pipelines": dict.fromkeys(("traces", "logs"), exporters)}})
    )
    with StandIn() as vendor, _refusing() as refuse:
        env = {
            "CHARTER_OTLP_METRICS_ENDPOINT": f"{vendor.url}/v1/metrics",
            "CHARTER_OTLP_LOGS_ENDPOINT": refuse,
            "CHARTER_OTLP_TRACES_ENDPOINT": refuse,
        }
        configs = ("base.yaml", "vendors/otlp.yaml", str(extra))
        with Collector(binary, directory, *configs, **env) as collector:
            yield collector


@contextlib.contextmanager
def installed(
    tmp_path_factory: pytest.TempPathFactory,
    collecting: Callable[[Path, Path], AbstractContextManager[Collector]] = metrics_only,
) -> Iterator[Installation]:
    """Run everything, and let everything happen that a panel shows.

    Skips where a program is missing.

    Args:
        tmp_path_factory: Where the data lie.
        collecting: Runs the Collector, given its binary and a directory.
    """
    binary = collector_binary()
    tool("prometheus", "prometheus")
    redis_binary()
    directory = tmp_path_factory.mktemp("installation")
    with contextlib.ExitStack() as stack:
        redis = RedisServer(tmp_path_factory.mktemp("redis"), options=("--maxmemory", "1gb"))
        redis.start()
        stack.callback(redis.stop)
        exporter = stack.enter_context(exporting(redis, directory))
        collector = stack.enter_context(collecting(binary, directory))
        address = stack.enter_context(
            scraping(collector, directory, build.prometheus(), f"{SCRAPE_S}s", redis=exporter)
        )
        variables = _variables(redis.url, collector.http)
        with service(**variables) as killed:
            assert killed.answers, "the service did not start; its error is above"
            wait_until(lambda: _is_known(address), "the first instance is known", within=30)
            killed.process.kill()
        both = tuple(stack.enter_context(service(**variables)) for _ in range(2))
        assert all(one.answers for one in both), "the service did not start; its error is above"
        stack.enter_context(_subscriber(redis.url, variables))
        running = Installation((both[0], both[1]), redis, address)
        stack.enter_context(_living(running))
        yield running


def _is_known(prometheus: str) -> bool:
    asked = {"query": "charter_service_heartbeat_seconds"}
    answer = LOCAL.get(f"http://{prometheus}/api/v1/query", params=asked).json()
    return bool(answer["data"]["result"])


def _variables(redis: str, collector: str) -> dict[str, str]:
    return {
        "CHARTER_EVENT_STREAM": redis,
        "CHARTER_AGGREGATION_INTERVAL": "1",
        "CHARTER_LOG_FORMAT": "json",
        "CHARTER_ROBOT_LABELS": ",".join(promql.GROUPS),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_METRIC_EXPORT_INTERVAL": str(EXPORT_MS),
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,k8s.cluster.name=here",
    }


@contextlib.contextmanager
def _refusing() -> Iterator[str]:
    """Answer every request with 400: what is sent is lost for good."""

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(400)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _subscriber(redis: str, variables: dict[str, str]) -> Iterator[None]:
    env = {**os.environ, **variables, "OTEL_SERVICE_NAME": "fleet-board"}
    process = subprocess.Popen(
        [sys.executable, str(SUBSCRIBER), redis], env=env, stdout=subprocess.DEVNULL
    )
    try:
        yield
        assert process.poll() is None, "the subscriber ended by itself"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _living(running: Installation) -> Iterator[None]:
    """Keep the fleet busy until the end."""
    over = threading.Event()
    errors: list[BaseException] = []

    def live() -> None:
        try:
            with contextlib.ExitStack() as stack:
                robots = (running.connect(f"robot_{n:03}", n % 2) for n in range(4))
                fleet = [stack.enter_context(robot) for robot in robots]
                while not over.wait(1):
                    _second(running, fleet)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    thread = threading.Thread(target=live, name="fleet")
    thread.start()
    try:
        _fail_once(running)
        yield
    finally:
        over.set()
        thread.join(30)
        assert not errors, errors


def _second(running: Installation, fleet: list[ClientConnection]) -> None:
    """Let a second pass in which everything ordinary, and much that is not, happens."""
    for number, robot in enumerate(fleet):
        robot.send(
            _reading(battery=12.0 if number == 0 else 78.0, cpu=97.0 if number == 1 else 40.0)
        )
    one, other = running.services
    with contextlib.suppress(OSError):
        one.post("/api/metrics/missions", [{"mission_id": "m", "status": "completed"}])
    other.get("/api/telemetry/robots")
    with contextlib.suppress(OSError):
        one.get("/api/telemetry/robots/robot_000/metrics")
    with contextlib.suppress(Exception):
        running.redis.command("XADD", MISSIONS, "*", "data", "no JSON")
    _come_and_go(running)


def _come_and_go(running: Installation) -> None:
    with running.connect("robot_polite") as polite:
        polite.send("{")
        polite.send('{"cpu_usage": 900}')
        polite.send('{"type": "ping"}')
        for _ in range(3):
            polite.recv(timeout=5)
    with contextlib.suppress(ConnectionClosed), running.connect("robot_lost") as lost:
        # The socket ends without a close frame, as when a robot loses its power.
        lost.socket.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(ConnectionClosed, InvalidStatus), running.connect("-refused-"):
        pass


def _fail_once(running: Installation) -> None:
    """Put something else where the missions lie, until a run has failed and a request too.

    A presence that nobody can read stays.
    """
    one, other = running.services
    running.redis.command("HSET", PRESENCE, "robot_unreadable", "no JSON")

    def failed() -> bool:
        with contextlib.suppress(OSError):
            one.post("/api/metrics/missions", {"mission_id": "m", "status": "completed"})
        return bool(
            one.events("metrics.aggregation_failed") or other.events("metrics.aggregation_failed")
        )

    wait_until(lambda: running.redis.command("EXISTS", MISSIONS), "missions came", within=20)
    with unreadable_missions(running.redis):
        wait_until(failed, "a run failed", within=20)


def _reading(*, battery: float, cpu: float) -> str:
    reading = {"cpu_usage": cpu, "memory_usage": 62.8, "network_latency_ms": 12.5}
    return json.dumps({**reading, "battery_percentage": battery})


def _values(series: dict[str, Any]) -> list[str]:
    return [value for _, value in series.get("values") or [series["value"]]]
