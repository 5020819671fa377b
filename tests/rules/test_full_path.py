"""The whole way: service → Collector → Prometheus → Alertmanager → PagerDuty, on real servers."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import websockets

from collector.conftest import collector_binary
from collector.harness import Collector
from dashboards.rules import build
from dashboards.rules.thresholds import Thresholds
from rules.servers import alertmanager, prometheus
from rules.standins import Heartbeat, PagerDuty
from support.polling import eventually
from support.ports import free_port
from support.redis import RedisServer, redis_binary

QUICK = Thresholds(
    interval="1s",
    job_failed_window="6s",
    job_repeated_window="10s",
    # What is asked here are runs that fail, not those that are missing.
    job_missing_after_s=3600,
    battery_for="1s",
    reading_keep="1s",
    disconnects_window="8s",
)
MISSIONS = "{charter}:missions"
JOB = "job aggregate_mission_metrics"


@contextlib.asynccontextmanager
async def service(port: int, environment: dict[str, str], log: Path) -> AsyncIterator[str]:
    """Run `charter-otel serve` and give its address."""
    code = "from charter_otel.cli import main; main()"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", code, "serve", "--port", str(port)),
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    address = f"127.0.0.1:{port}"

    def answers() -> bool:
        assert process.returncode is None, log.read_text()[-2000:]
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://{address}/healthz").is_success
        return False

    try:
        await eventually(answers, "the service answers", within=30)
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.timeout(240)
async def test_from_a_failing_job_and_a_robot_to_pagerduty(tmp_path: Path) -> None:
    """The job fails: its incident opens, escalates, and resolves when runs complete again.

    A robot with a low battery has an incident of its own meanwhile.
    """
    binary = collector_binary()
    redis_binary()
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        with (
            Collector(binary, tmp_path, "base.yaml") as collector,
            PagerDuty() as pagerduty,
            Heartbeat() as heartbeat,
            alertmanager(tmp_path, pagerduty.address, heartbeat.address) as manager,
            prometheus(
                tmp_path,
                build.prometheus(QUICK),
                {
                    "charter-otel": _target(collector.prometheus),
                    "otelcol-charter": _target(collector.telemetry),
                },
                manager,
            ),
        ):
            environment = {
                "CHARTER_EVENT_STREAM": redis.url,
                "CHARTER_AGGREGATION_INTERVAL": "1",
                "CHARTER_STATE_DIR": str(tmp_path / "state"),
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http,
                "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            }
            async with service(free_port(), environment, tmp_path / "service.log") as address:
                await _low_battery(address, pagerduty)
                await _failing_job(redis, pagerduty)
    finally:
        redis.stop()
    assert [event for event in pagerduty.events if "invalid" in event] == []


async def _failing_job(redis: RedisServer, pagerduty: PagerDuty) -> None:
    # Not Redis itself: a stream that is away explains the runs that fail for it.
    redis.command("DEL", MISSIONS)
    redis.command("SET", MISSIONS, "not a stream")
    await eventually(lambda: pagerduty.of("trigger", component=JOB), "the page", within=60)
    first = pagerduty.of("trigger", component=JOB)[0]

    def escalated() -> object:
        return pagerduty.of("trigger", component=JOB, severity="critical")

    await eventually(escalated, "the escalation", within=60)
    redis.command("DEL", MISSIONS)

    def resolved() -> bool:
        return first["dedup_key"] in {event["dedup_key"] for event in pagerduty.of("resolve")}

    await eventually(resolved, "the resolution", within=60)
    keys = {event["dedup_key"] for event in pagerduty.of("trigger", component=JOB)}
    assert keys == {first["dedup_key"]}


async def _low_battery(address: str, pagerduty: PagerDuty) -> None:
    reading = (
        '{"cpu_usage": 10, "memory_usage": 10, "network_latency_ms": 5, "battery_percentage": %d}'
    )
    async with websockets.connect(f"ws://{address}/api/telemetry/ws/robot_001") as robot:
        await robot.send(reading % 12)
        component = "robot robot_001"

        def paged() -> object:
            return pagerduty.of("trigger", component=component)

        await eventually(paged, "the robot's page", within=40)
        page = pagerduty.of("trigger", component=component)[0]
        assert page["payload"]["severity"] == "warning"
        assert "12%" in page["payload"]["custom_details"]["firing"]
        await robot.send(reading % 80)

        def resolved() -> bool:
            return page["dedup_key"] in {event["dedup_key"] for event in pagerduty.of("resolve")}

        await eventually(resolved, "the robot's incident is over", within=40)


def _target(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/metrics")
