"""`charter-otel demo`, what `make demo` runs."""

import json
import signal
from typing import Any

import pytest

from charter_otel.charter import decode
from cli.commands import run, run_on_terminal, running

SHORT = {"DEMO_SECONDS": "8", "CHARTER_AGGREGATION_INTERVAL": "2"}


class Demo:
    """What a demonstration wrote."""

    def __init__(self, stdout: str, stderr: str) -> None:
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in stdout.splitlines()]
        self.charter = [line for line in self.lines if "charter" in line]
        self.summary = self.lines[-1]
        self.stderr = stderr

    def payloads(self, event_type: str) -> list[dict[str, Any]]:
        """Return the payloads of a type's events."""
        return [line["charter"]["payload"] for line in self.charter if line["event"] == event_type]


@pytest.fixture(scope="module")
def demo() -> Demo:
    """A short demonstration whose stdout is no terminal; its lines are all JSON."""
    ended = run("demo", within=40, variables=SHORT)
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
    """Whatever was established is closed at the end, in the same trace."""
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


def test_people_read_stderr(demo: Demo) -> None:
    """Where it runs, what came of it, and how to go on."""
    for text in ("http://127.0.0.1:", "job runs", "redis://", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        assert text in demo.stderr


def test_on_a_terminal_the_lines_are_for_people() -> None:
    """No JSON, but short lines and then the summary."""
    code, screen = run_on_terminal("demo", "--robots=2", variables={"DEMO_SECONDS": "3"})
    assert code == 0
    assert "telemetry.connection_established" in screen
    assert '"charter"' not in screen
    assert "How to go on" in screen


def test_a_secret_changes_nothing() -> None:
    """Robots and readers of the demonstration have the tokens that they need."""
    ended = run(
        *("demo", "--robots=3"),
        variables={"DEMO_SECONDS": "2", "CHARTER_AUTH_SECRET": "s" * 32},
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["missions_posted"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_summary(number: signal.Signals) -> None:
    """Without DEMO_SECONDS it runs until then, and every connection is closed in order."""
    with running("demo", "--robots=3") as command:
        command.writes("telemetry.connection_established")
        code, stdout, stderr = command.ends(number)
    assert code == 0, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["event"] == "demo.summary"
    assert summary["connections_established"] == summary["connections_closed"] > 0
