"""`charter-otel demo`, what `make demo` runs."""

import json
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charter_otel.charter import decode
from charter_otel.cli.demo_run import DemoPlan
from charter_otel.service.settings import Settings
from charter_otel.simulator.summary import next_steps
from cli.commands import run, run_on_terminal, running

QUIET = {"DEMO_SECONDS": "8", "CHARTER_AGGREGATION_INTERVAL": "2", "DEMO_STORY": "0"}


class Demo:
    """The output of a demonstration."""

    def __init__(self, stdout: str, stderr: str) -> None:
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in stdout.splitlines()]
        self.charter = [line for line in self.lines if "charter" in line]
        self.summary = self.lines[-1]
        self.stderr = stderr

    def payloads(self, event_type: str) -> list[dict[str, Any]]:
        """Return the payloads of a type's events."""
        return [line["charter"]["payload"] for line in self.charter if line["event"] == event_type]


@pytest.fixture(scope="module")
def story() -> Demo:
    """A demonstration whose story is told within twelve seconds instead of a minute."""
    ended = run("demo", "--port=0", within=60, variables={"DEMO_SECONDS": "12"})
    assert ended.returncode == 0, ended.stderr
    return Demo(ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def demo() -> Demo:
    """A short demonstration without a story, whose stdout is not a terminal: JSON lines only."""
    ended = run("demo", "--port=0", within=40, variables=QUIET)
    assert ended.returncode == 0, ended.stderr
    return Demo(ended.stdout, ended.stderr)


def test_every_line_has_the_usual_keys(demo: Demo) -> None:
    """Each line of stdout can be ingested."""
    for line in demo.lines:
        assert {"timestamp", "level", "event", "logger", "service.name"} <= line.keys(), line


def test_every_event_is_valid_and_belongs_to_a_trace(demo: Demo) -> None:
    """The correlation id is the trace id of its line."""
    assert len(demo.charter) > 30
    for line in demo.charter:
        event = decode(json.dumps(line["charter"]))
        assert event.type == line["event"]
        assert event.meta["correlation_id"] == line["trace_id"]


def test_every_connection_has_its_pair(demo: Demo) -> None:
    """Every established connection is closed at the end, in the same trace."""
    established = demo.payloads("telemetry.connection_established")
    closed = demo.payloads("telemetry.connection_closed")
    assert sorted(p["connection_id"] for p in established) == sorted(
        p["connection_id"] for p in closed
    )
    assert {p["robot_id"] for p in established} == {f"robot_{n:03d}" for n in range(1, 13)}
    assert len(established) > 12
    assert {p["reason"] for p in closed} == {"client_disconnect"}


def test_the_job_runs_over_mission_entries(demo: Demo) -> None:
    """Several runs, each of which counted what came since the one before."""
    completed = demo.payloads("metrics.aggregation_completed")
    assert len(completed) >= 3
    assert sum(p["entries_processed"] > 0 for p in completed) >= 3
    counted = sum(p["entries_processed"] for p in completed)
    assert 0 < counted <= demo.summary["missions_posted"]


def test_readings_are_published(demo: Demo) -> None:
    """Somebody looks at a dashboard."""
    assert len(demo.payloads("telemetry.metrics_published")) >= 5


def test_the_summary_is_the_last_line(demo: Demo) -> None:
    """It counts what the lines tell, and what emitting costs."""
    summary = demo.summary
    assert summary["event"] == "demo.summary"
    for event_type, count in summary["events"].items():
        assert len(demo.payloads(event_type)) == count, event_type
    assert summary["bad_frames_answered"] == 1
    assert summary["frames_sent"] == summary["frames_acknowledged"] > 100
    assert 0 < summary["emission_p50_us"] <= summary["emission_p99_us"]
    assert summary["errors"] == {}


def test_a_job_fails_and_is_well_again(story: Demo) -> None:
    """The entries of the failed run are counted by the next one, once."""
    failed = story.payloads("metrics.aggregation_failed")
    assert [payload["error_type"] for payload in failed] == ["MissionsUnavailable"]
    after = [
        payload
        for payload in story.payloads("metrics.aggregation_completed")
        if payload["completed_at"] > failed[0]["failed_at"]
    ]
    assert after[0]["entries_processed"] > 0
    assert "The job has recovered" in story.stderr


@pytest.mark.parametrize(
    ("robot_id", "reason"),
    [
        ("robot_002", "connection_lost"),
        ("robot_003", "superseded"),
        ("robot_004", "protocol_error"),
    ],
)
def test_robots_get_into_trouble_and_come_back(story: Demo, robot_id: str, reason: str) -> None:
    """One drops out, one is taken over, one sends invalid frames: the events say so."""
    closed = [p for p in story.payloads("telemetry.connection_closed") if p["robot_id"] == robot_id]
    assert [p["reason"] for p in closed].count(reason) == 1
    assert closed[-1]["reason"] == "client_disconnect"
    assert f"{robot_id}" in story.stderr


def test_a_battery_runs_down(story: Demo) -> None:
    """It falls below what the alert watches for."""
    assert "robot_006 is below 20 %" in story.stderr


def test_the_stream_is_away_and_nothing_is_lost(story: Demo) -> None:
    """Events that waited are replayed; each event that was emitted came to a subscriber."""
    lines = [line["event"] for line in story.lines]
    away = lines.index("event stream unreachable")
    assert "event stream reachable again" in lines[away:]
    assert story.summary["events_replayed"] > 0
    assert story.summary["events_lost"] == 0
    assert "nothing;" in story.stderr


def test_each_announcement_is_one_line_of_80_columns(story: Demo) -> None:
    """Greeting, story and summary fit a terminal of 80 columns; commands to copy are not broken."""
    said = story.stderr.splitlines()
    assert len([line for line in said if line.startswith("▶")]) >= 12
    assert all(len(line.rstrip()) <= 80 for line in said), said
    for advised in next_steps().values():
        assert any(line.rstrip().endswith(advised) for line in said)


def test_the_advice_can_be_typed_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venv that make builds is not on PATH: the command is named with its path then."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    told = shlex.split(next_steps()["the service"])
    assert told[0] != "charter-otel"
    assert subprocess.check_output([told[0], "--version"], text=True).startswith("charter-otel")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert next_steps()["the service"] == "charter-otel serve"


def test_a_directory_with_a_space_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In it the advice can be typed, too."""
    directory = tmp_path / "our fleet"
    directory.mkdir()
    (directory / "charter-otel").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(directory / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert next_steps()["the service"] == "'our fleet/charter-otel' serve"


def test_the_board_is_named_first_and_last(story: Demo) -> None:
    """A person who scrolls up or looks at the end finds the address."""
    first, *_, last = story.stderr.splitlines()
    assert story.summary["board"] in first
    assert story.summary["board"] in last


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 60.0),
        ({"seconds": 300.0}, 60.0),
        ({"seconds": 12.0}, 12.0),
        ({"seconds": 5.0}, 0.0),
        ({"robots": 5}, 0.0),
        ({"story": False}, 0.0),
    ],
)
def test_the_story_takes_a_minute_or_the_time_that_there_is(
    changes: dict[str, Any], length: float
) -> None:
    """With less than six seconds or six robots there is none."""
    plan = DemoPlan(Settings(), robots=6, seconds=None, port=None, story=True)
    assert plan._replace(**changes).length == length


def test_a_short_demonstration_has_no_story() -> None:
    """There is no time for one, nor with few robots; the stream is the settings' own."""
    ended = run("demo", "--port=0", variables={"DEMO_SECONDS": "2"})
    assert ended.returncode == 0, ended.stderr
    assert "▶" not in ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["events_lost"] is None


def test_a_port_that_is_named_is_the_one() -> None:
    """If another program has it, the demonstration fails and says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("demo", f"--port={port}", variables={"DEMO_SECONDS": "1"})
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr


def test_people_read_stderr(demo: Demo) -> None:
    """The summary has the address, the results and the next steps."""
    for text in ("http://127.0.0.1:", "job runs", "redis://", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        assert text in demo.stderr


def test_on_a_terminal_the_lines_are_for_people() -> None:
    """No JSON, but short lines and then the summary."""
    code, screen = run_on_terminal(
        "demo", "--robots=2", "--port=0", variables={"DEMO_SECONDS": "3"}
    )
    assert code == 0
    assert "telemetry.connection_established" in screen
    assert '"charter"' not in screen
    assert "How to go on" in screen


def test_a_secret_changes_nothing() -> None:
    """Robots and readers of the demonstration have the tokens that they need."""
    ended = run(
        *("demo", "--robots=3", "--port=0"),
        variables={"DEMO_SECONDS": "2", "CHARTER_AUTH_SECRET": "s" * 32},
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["missions_posted"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_summary(number: signal.Signals) -> None:
    """Without DEMO_SECONDS it runs until then, and every connection is closed in order."""
    with running("demo", "--robots=3", "--port=0") as command:
        command.writes("telemetry.connection_established")
        code, stdout, stderr = command.ends(number)
    assert code == 0, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["event"] == "demo.summary"
    assert summary["connections_established"] == summary["connections_closed"] > 0
