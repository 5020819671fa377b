"""The measured set-up: a service with Redis and a gateway Collector, and a simulated fleet."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.machine import cpu_seconds, private_bytes
from collector.conftest import collector_binary
from collector.harness import Collector
from collector.standin import StandIn
from support.polling import wait_until
from support.redis import RedisServer
from support.service import ServiceProcess, service

GATEWAY = ("base.yaml", "gateway.yaml", "vendors/otlp.yaml")
ROBOTS = 500
WARM_UP = 20
"""Robots that come first: few, as the memory that they leave is used again."""
HZ = 2.0
SETTLE = 6.0
"""Seconds after which the telemetry of a moment ago is exported."""
EXPORT_EVERY = 2
"""Seconds between two exports of the metrics."""


class Costs(NamedTuple):
    """Costs in microseconds of a core, unless it says otherwise."""

    frame: float
    """A reading, of the instance: taken, acknowledged and shared."""
    connection: float
    """A connection that comes and goes, of the instance."""
    open: float
    """A second of an open connection, of the instance: its robot's metrics are exported."""
    memory: float
    """An open connection, of the instance: KiB."""
    redis_frame: float
    """A reading that is shared, of Redis."""
    redis_connection: float
    """A connection that comes and goes, of Redis: events, register, takeover, presence."""
    gateway_connection: float
    """A connection that comes and goes, of a gateway Collector: log records and spans."""
    gateway_open: float
    """A second of an open connection, of a gateway Collector: its robot's metrics."""
    gateway_instance: float
    """A second of an idle instance, of a gateway Collector: its metrics."""


class Used(NamedTuple):
    """CPU seconds of each process, and seconds of time."""

    instance: float
    redis: float
    gateway: float
    time: float

    def less(self, *others: "Used") -> "Used":
        """Return what is left without others."""
        return Used(*(mine - sum(theirs) for mine, *theirs in zip(self, *others, strict=True)))

    def times(self, factor: float) -> "Used":
        """Return a multiple."""
        return Used(*(each * factor for each in self))


def measure(seconds: float) -> Costs:
    """Let a fleet come, talk and go, and give what each part of that cost."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="scale")))
        redis = RedisServer(directory)
        stack.callback(redis.stop)
        redis.start()
        vendor = stack.enter_context(StandIn())
        environment = {"CHARTER_OTLP_ENDPOINT": vendor.url, "CHARTER_DECISION_WAIT": "1s"}
        gateway = Collector(collector_binary(), directory, *GATEWAY, **environment)
        stack.enter_context(gateway)
        alone = _gateway_alone(gateway.pid, seconds)
        variables = {
            "CHARTER_EVENT_STREAM": redis.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": gateway.http,
            "OTEL_METRIC_EXPORT_INTERVAL": f"{EXPORT_EVERY}000",
        }
        running = stack.enter_context(service(**variables))
        pids = (running.process.pid, redis.pid, gateway.pid)
        costs = _Measuring(running, pids).costs(seconds)
        return costs._replace(gateway_instance=max(0.0, costs.gateway_instance - alone))


def _gateway_alone(pid: int, seconds: float) -> float:
    """Return the CPU microseconds that a gateway uses in a second without any instance."""
    begun = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - begun) / seconds * 1e6


class _Measuring:
    def __init__(self, running: ServiceProcess, pids: tuple[int, int, int]) -> None:
        self._running = running
        self._pids = pids
        self._memory = 0

    def costs(self, seconds: float) -> Costs:
        """Measure a fleet that is silent and one that talks, less what goes on without any.

        A silent fleet that stays three times as long costs more by what its connections cost
        while they are open.
        """
        self._fleet(WARM_UP, 0.01, 1)
        begun = self._now()
        time.sleep(seconds)
        idle = self._now().less(begun)
        idle = idle.times(1 / idle.time)
        before = private_bytes(self._pids[0])
        silent, _ = self._without(idle, 0.01, seconds)
        memory = self._memory - before
        longer, _ = self._without(idle, 0.01, 3 * seconds)
        open_ = longer.less(silent).times(1 / (2 * seconds))
        coming = silent.less(open_.times(seconds))
        talking, frames = self._without(idle, HZ, seconds)
        talking = talking.less(silent)
        return Costs(
            frame=talking.instance / frames * 1e6,
            connection=coming.instance / ROBOTS * 1e6,
            open=open_.instance / ROBOTS * 1e6,
            memory=memory / ROBOTS / 1024,
            redis_frame=talking.redis / frames * 1e6,
            redis_connection=coming.redis / ROBOTS * 1e6,
            gateway_connection=coming.gateway / ROBOTS * 1e6,
            gateway_open=open_.gateway / ROBOTS * 1e6,
            gateway_instance=idle.gateway * 1e6,
        )

    def _without(self, idle: Used, hz: float, seconds: float) -> tuple[Used, int]:
        """Return what a fleet used, and the frames that it sent."""
        begun = self._now()
        frames = self._fleet(ROBOTS, hz, seconds)
        used = self._now().less(begun)
        return used.less(idle.times(used.time)), frames

    def _fleet(self, robots: int, hz: float, seconds: float) -> int:
        options = ("--robots", str(robots), "--hz", str(hz), "--seconds", str(seconds))
        command = (sys.executable, "-m", "charter_otel", "simulate")
        process = subprocess.Popen(
            [*command, "--url", self._running.websocket, *options],
            stdout=subprocess.PIPE,
        )
        wait_until(lambda: self._open() == robots, "the robots are connected", 60)
        self._memory = private_bytes(self._pids[0])
        out, _ = process.communicate(timeout=seconds + 60)
        time.sleep(SETTLE)
        sent: int = json.loads(out)["frames_sent"]
        return sent

    def _open(self) -> int:
        active: int = self._running.get("/api/telemetry/info")["active_connections"]
        return active

    def _now(self) -> Used:
        instance, redis, gateway = map(cpu_seconds, self._pids)
        return Used(instance, redis, gateway, time.monotonic())
