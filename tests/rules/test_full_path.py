"""The whole way: service → Collector → Prometheus → Alertmanager → PagerDuty, on real servers."""

from pathlib import Path

import pytest
import websockets

from dashboards.rules import build
from dashboards.rules.thresholds import Thresholds
from rules.stack import servers
from rules.standins import PagerDuty
from support.polling import eventually
from support.redis import RedisServer
from support.service import service

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


@pytest.mark.timeout(240)
async def test_from_a_failing_job_and_a_robot_to_pagerduty(tmp_path: Path) -> None:
    """The job fails: its incident opens, escalates, and resolves when runs complete again.

    A robot with a low battery has an incident of its own meanwhile; a simulated one has none.
    """
    with servers(tmp_path, build.prometheus(QUICK), every=1, scrape="1s") as stack:
        with service(**stack.variables) as running:
            await _low_battery(running.websocket, stack.pagerduty)
            await _failing_job(stack.redis, stack.pagerduty)
        assert [event for event in stack.pagerduty.events if "invalid" in event] == []
        assert stack.pagerduty.of("trigger", component="robot robot_000") == []


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
    robots = f"{address}/api/telemetry/ws"
    async with (
        websockets.connect(f"{robots}/robot_000?simulated=1&ack=1") as simulated,
        websockets.connect(f"{robots}/robot_001") as robot,
    ):
        await simulated.send(reading % 12)
        await simulated.recv()
        # Its reading is the older one: what pages about the other has seen both.
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
