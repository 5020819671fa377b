"""`charter-otel top`: a service at a terminal, over REST."""

import io
from typing import Any

import pytest
from rich.console import Console

from charter_otel.cli.top_view import Look, screen
from cli.commands import run, serving
from support.ports import free_port

MARKS = {"battery_low": 20.0, "cpu_high": 90.0, "expected_reasons": ["client_disconnect"]}


def look(robots: int = 3, **changes: Any) -> Look:
    """Return what a service might answer."""
    job = {
        "job_id": "aggregate_mission_metrics",
        "active_runs": 0,
        "last_ended_at": 98.0,
        "last_outcome": "failed",
        "last_duration_ms": 3.5,
        "last_error": "[red]OSError\x1b[2J",
        "next_run_at": 128.0,
        "completed_runs": 12,
        "failed_runs": 1,
    }
    robot = {
        "status": "online",
        "connected_at": 40.0,
        "disconnected_at": None,
        "last_reason": None,
        "metrics": {
            "cpu_usage": 99.0,
            "memory_usage": 40.0,
            "network_latency_ms": 12.0,
            "battery_percentage": 11.0,
        },
    }
    event = {
        "id": "evt_telemetry_1703003456789_j1k2l3",
        "type": "telemetry.connection_closed",
        "source": "telemetry_service",
        "target": None,
        "timestamp": 99.0,
        "payload": {
            "robot_id": "robot_000",
            "reason": "heartbeat_timeout",
            "duration_seconds": 4.0,
        },
        "meta": {"correlation_id": "0af7651916cd43dd8448eb211c80319c", "version": "1.0"},
    }
    fleet = {"known": robots, "online": robots, "offline": 0, "reasons": {}}
    return Look(
        url="http://service",
        board={
            "now": 100.0,
            "connections": 3,
            "instances": 1,
            "fleet": fleet,
            "jobs": [job],
            "emitted": {},
            "marks": MARKS,
            "trouble": {"low_battery": 2},
        },
        ready={"status": "ready", "dependencies": {}, **changes},
        robots={
            "known": robots,
            "robots": [{"robot_id": f"robot_{n:03}", **robot} for n in range(robots)],
        },
        events=[event] * 40,
    )


def drawn(seen: Look, width: int, height: int) -> list[str]:
    """Return the rows of the screen."""
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(screen(seen, width, height))
    return console.export_text().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (132, 40), (240, 80)])
@pytest.mark.parametrize("robots", [0, 3, 60])
def test_it_fills_the_terminal_and_no_more(width: int, height: int, robots: int) -> None:
    """From 80 x 24 on; fleet, jobs and events with their whole trace ids are all there."""
    rows = drawn(look(robots), width, height)
    text = "\n".join(rows)
    assert len(rows) == height
    assert max(map(len, rows)) == width
    assert f"{robots} online" in text
    assert "aggregate_mission_metrics" in text
    assert "0af7651916cd43dd8448eb211c80319c" in text
    assert "\x1b" not in text


def test_a_degraded_dependency_is_reported_with_since_and_error() -> None:
    """The line of the stream makes way for it."""
    state = {"status": "degraded", "since": "2026-11-30T05:00:00Z", "error": "Connection refused"}
    rows = drawn(look(status="degraded", dependencies={"event_stream": state}), 80, 24)
    assert "event_stream is degraded since 2026-11-30T05:00:00Z: Connection refuse" in "\n".join(
        rows
    )


def test_numbers_of_one_instance_of_several_say_so() -> None:
    """Connections and trouble are this instance's; robots online are everybody's."""
    seen = look()
    seen.board["instances"] = 3
    text = "\n".join(drawn(seen, 80, 24))
    assert "3 connections here" in text
    assert "in trouble here: 2 low_battery" in text
    assert "here" not in "\n".join(drawn(look(), 80, 24))


def test_one_look_without_a_terminal() -> None:
    """A pipe gets one look, and the command ends."""
    with serving() as service:
        ended = run("top", "--url", service.http)
    assert ended.returncode == 0, ended.stderr
    assert "charter-otel top" in ended.stdout
    assert "aggregate_mission_metrics" in ended.stdout


def test_a_far_service_wants_a_token() -> None:
    """With the secret, or a token, it shows; without one the text says what to set."""
    variables = {"CHARTER_AUTH_SECRET": "s" * 32}
    with serving(variables=variables) as service:
        assert run("top", "--url", service.http, variables=variables).returncode == 0
        refused = run("top", "--url", service.http)
    assert (refused.returncode, "CHARTER_TOKEN" in refused.stderr) == (1, True)


def test_a_service_that_is_not_there_is_a_failure() -> None:
    """The text says how to start one."""
    ended = run("top", "--url", f"http://127.0.0.1:{free_port()}")
    assert (ended.returncode, "charter-otel serve" in ended.stderr) == (1, True)
