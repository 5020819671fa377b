"""Stats against the truth: what the events of a run add up to, and what the panels' queries say.

The run has a second instance, a mass close, a clean restart and a killed instance. So series end,
begin in a process's last export, and begin anew.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from charter_otel.charter import EXPECTED_CLOSE_REASONS
from collector.conftest import collector_binary
from collector.harness import Collector
from dashboards.rules import build
from rules.servers import prometheus, tool
from support.known_run import ENTRIES, Run, play
from support.redis import RedisServer, redis_binary

pytestmark = pytest.mark.timeout(300)

SCALES = {
    "cpu_usage": 100,
    "memory_usage": 100,
    "battery_percentage": 100,
    "network_latency_ms": 1000,
}
"""Readings in the order of the table's columns, and what a metric's unit is of them."""
SETTLED = 12.0
"""Seconds until the last export has been scraped."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Play the run once, and wait until Prometheus has all of it."""
    binary = collector_binary()
    tool("prometheus", "prometheus")
    redis_binary()
    directory: Path = tmp_path_factory.mktemp("truth")
    redis = RedisServer(directory)
    redis.start()
    try:
        with (
            Collector(binary, directory, "base.yaml") as collector,
            prometheus(
                directory,
                build.prometheus(),
                {
                    "charter-otel": collector.prometheus.split("/")[2],
                    "otelcol-charter": collector.telemetry.split("/")[2],
                },
                "127.0.0.1:9",
                "2s",
            ) as server,
        ):
            playing = Run(server)
            time.sleep(SETTLED)
            play(playing, redis.url, collector.http)
            time.sleep(SETTLED)
            yield playing
    finally:
        redis.stop()


def test_connections_that_ended(run: Run) -> None:
    """Their mean and the share of short ones, each connection once."""
    durations = [closed["duration_seconds"] for closed in run.of("telemetry.connection_closed")]
    assert len(durations) > 40
    assert run.shown("analytics.json", "Mean connection") == pytest.approx(
        statistics.mean(durations), rel=0.01
    )
    short = sum(duration < 60 for duration in durations) / len(durations)
    assert run.shown("analytics.json", "Short connections") == pytest.approx(short, abs=0.001)
    assert run.shown("incidents.json", "Short connections") == sum(d < 60 for d in durations)


def test_connections_that_nobody_meant_to_end(run: Run) -> None:
    """Those of the killed instance too, which another one closed."""
    lost = [
        closed
        for closed in run.of("telemetry.connection_closed")
        if closed["reason"] not in EXPECTED_CLOSE_REASONS
    ]
    assert {closed["reason"] for closed in lost} == {"server_lost", "connection_lost"}
    assert run.shown("incidents.json", "Lost connections") == len(lost)


def test_runs_of_the_job(run: Run) -> None:
    """All that ended, over all instances and restarts."""
    completed = run.of("metrics.aggregation_completed")
    failed = run.of("metrics.aggregation_failed")
    # A killed instance may have emitted what it never exported: one export's worth.
    ended = len(completed) + len(failed)
    assert ended - 3 <= run.shown("analytics.json", "Runs") <= ended
    assert run.shown("incidents.json", "Failed runs") == len(failed)


def test_durations_and_entries_of_the_job(run: Run) -> None:
    """Their mean and their sum, but for one export of the killed instance."""
    completed = run.of("metrics.aggregation_completed")
    entries = sum(each["entries_processed"] for each in completed)
    assert entries >= ENTRIES
    assert run.shown("analytics.json", "Entries") == pytest.approx(entries, abs=3)
    mean = statistics.mean(each["duration_ms"] for each in completed) / 1000
    assert run.shown("analytics.json", "Mean run") == pytest.approx(mean, rel=0.25)


def test_nothing_was_dropped(run: Run) -> None:
    """Zero is a number, not an empty panel."""
    for title in ("Events dropped", "Lines dropped", "Dead letters"):
        assert run.shown("pipeline.json", title) == 0


def test_stats_of_now(run: Run) -> None:
    """Of the robots of two instances, each once; a fleet that left is not lost."""
    batteries = [reading["battery_percentage"] for reading in run.readings.values()]
    assert len(batteries) == 16
    assert run.numbers == {
        "Connections": 16,
        "Robots lost": 3,
        "Low batteries": sum(battery < 20 for battery in batteries),
        "Overloaded robots": sum(each["cpu_usage"] > 90 for each in run.readings.values()),
        "Flapping robots": 0,
        "Mean battery": pytest.approx(statistics.mean(batteries) / 100),
        "Event stream": 1,
    }
    assert run.numbers["Low batteries"] == 4
    assert run.numbers["Overloaded robots"] == 2


def test_the_last_good_run_is_that_of_the_events(run: Run) -> None:
    """It is as old as the newest one then, and as an export, a scrape and a slot make it."""
    completed = [each["completed_at"] for each in run.of("metrics.aggregation_completed")]
    ago = run.looked - max(at for at in completed if at < run.looked)
    assert ago - 0.5 <= run.good_run_ago <= ago + 6


def test_instances_that_live(run: Run) -> None:
    """Each has its row, with its own connections; one that stopped has no heartbeat."""
    known, up, heartbeat, connections, *_ = run.instances
    assert len(heartbeat) == 2
    assert heartbeat.keys() == connections.keys() <= known.keys()
    assert sorted(connections.values()) == [6, 10]
    assert max(heartbeat.values()) < 10
    assert all(0 < up[name] < run.looked - run.began for name in heartbeat)


def test_tables_to_the_last_row(run: Run) -> None:
    """Every robot that is connected is in the table with all its readings, and nobody else is."""
    wanted = {
        name: {robot: reading[name] / scale for robot, reading in run.readings.items()}
        for name, scale in SCALES.items()
    }
    assert run.rows["Readings"] == [pytest.approx(wanted[name]) for name in SCALES]
    for title, name, most in (
        ("Emptiest batteries", "battery_percentage", False),
        ("Busiest processors", "cpu_usage", True),
    ):
        ten = sorted(wanted[name].items(), key=lambda each: each[1], reverse=most)[:10]
        assert run.rows[title] == [pytest.approx(dict(ten))]
    assert run.rows["Offline now"][0].keys() == {f"robot_lost_{n}" for n in range(3)}
