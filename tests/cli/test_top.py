"""`charter-otel top`: a service at a terminal, over REST."""

import io
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from rich.console import Console

from charter_otel.cli.top_view import Look, screen
from cli.commands import called, run, serving
from support.loopback import LoopbackServer, PageServer
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


@pytest.mark.parametrize(
    ("width", "height", "robots", "events"), [(80, 24, 5, 5), (132, 40, 28, 29)]
)
def test_each_list_has_as_many_rows_as_fit(
    width: int, height: int, robots: int, events: int
) -> None:
    """No row stays empty, and none that the title counts is cut off."""
    text = "\n".join(drawn(look(60), width, height))
    assert f"robots, {robots} of 60" in text
    assert len(re.findall(r"\u2502 robot_\d", text)) == robots
    whole = r"\u2502 00:01:39 .* 0af7651916cd43dd8448eb211c80319c \u2502"
    assert len(re.findall(whole, text)) == events


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
    """A pipe gets one look, whatever proxy there is, and the command ends."""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    with serving() as service:
        ended = run("top", "--url", service.http, variables=proxy)
    assert ended.returncode == 0, ended.stderr
    assert "charter-otel top" in ended.stdout
    assert "aggregate_mission_metrics" in ended.stdout


def test_a_far_service_wants_a_token() -> None:
    """With the secret, or a token, it shows; without one the text says what to set."""
    variables = {"CHARTER_AUTH_SECRET": "s" * 32}
    with serving(variables=variables) as service:
        assert called("top", "--url", service.http, variables=variables).returncode == 0
        refused = called("top", "--url", service.http)
    assert (refused.returncode, "CHARTER_TOKEN" in refused.stderr) == (1, True)


class StoppingServer(LoopbackServer):
    """A service that stops: its stream is unreachable, and it takes no robot."""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the class that answers, to some routes with 503."""
        seen = look()
        state = {"status": "unready", "dependencies": {}}
        answers = {
            "/api/board": (200, seen.board),
            "/api/board/robots": (200, seen.robots),
            "/readyz": (503, state),
            "/api/events": (503, {"status_code": 503, "detail": "the event stream is away"}),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, answer = answers[self.path.partition("?")[0]]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def test_a_service_that_stops_is_shown() -> None:
    """It answers 503 where it is unready, or has no events for now."""
    with StoppingServer() as service:
        ended = called("top", "--url", f"http://{service.address}")
    assert (ended.returncode, "unready" in ended.stdout) == (0, True)


@pytest.mark.parametrize("page", ["<h1>It works!</h1>", "{}", "[]"])
@pytest.mark.parametrize("command", [("top",), ("trace", "0" * 31 + "1")])
def test_an_address_of_another_service_is_a_failure(command: tuple[str, ...], page: str) -> None:
    """The text says what is wrong."""
    with PageServer(page) as other:
        ended = called(*command, "--url", f"http://{other.address}")
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert "is not charter-otel's" in ended.stderr


def test_a_service_that_is_not_there_is_a_failure() -> None:
    """The text says how to start one."""
    ended = called("top", "--url", f"http://127.0.0.1:{free_port()}")
    assert (ended.returncode, "charter-otel serve" in ended.stderr) == (1, True)
