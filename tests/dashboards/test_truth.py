"""Stats against the truth: what the events of a run add up to, and what the panels' queries say.

The run has a second instance, a mass close, a clean restart, a killed instance and failed runs. So
series end, begin in a process's last export, and begin anew.
"""

import re
import statistics
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charter_otel.charter import EXPECTED_CLOSE_REASONS
from charter_otel.otel import semconv
from dashboards.limits import FRESH
from rules.servers import query
from support import known_run, loki_panels
from support.dashboards import dashboards, panels
from support.known_run import ENTRIES, FAILED, LOST, RECENT, RELEASED, SITES, Run

pytestmark = pytest.mark.timeout(300)

SCALES = {
    "cpu_usage": 100,
    "memory_usage": 100,
    "battery_percentage": 100,
    "network_latency_ms": 1000,
}
"""Readings in the order of the table's columns, and what a metric's unit is of them."""
FIELDS = {
    "Job": "job_id",
    "Error": "error_type",
    "Message": "error_message",
    "Robot": "robot_id",
    "Connection": "connection_id",
    "Duration": "duration_seconds",
    "Reason": "reason",
    "Trace": "trace",
}
"""Headings of tables of events, and what they are in the event."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Play the run once."""
    with known_run.played(tmp_path_factory.mktemp("truth")) as played:
        yield played


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
    assert len(failed) >= FAILED
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
    assert run.shown("pipeline.json", "Events dropped") == 0
    assert run.shown("pipeline.json", "Lines dropped") == 0
    assert run.shown("pipeline.json", "Dead letters") == 0


def test_stats_of_now(run: Run) -> None:
    """Of the robots of two instances, each once; who was released is to come back."""
    batteries = [reading["battery_percentage"] for reading in run.readings.values()]
    assert len(batteries) == 16
    assert run.numbers == {
        "Connections": 16,
        "Robots lost": LOST + RELEASED,
        "Low batteries": sum(battery < 20 for battery in batteries),
        "Overloaded robots": sum(each["cpu_usage"] > 90 for each in run.readings.values()),
        "Flapping robots": 0,
        "Mean battery": pytest.approx(statistics.mean(batteries) / 100),
        "Event stream": 1,
        "Age of data": pytest.approx(FRESH / 2, abs=FRESH / 2),
        "Publishing queue": pytest.approx(0, abs=0.01),
    }
    assert run.numbers["Low batteries"] == 4
    assert run.numbers["Overloaded robots"] == 2


def test_stats_of_a_site(run: Run) -> None:
    """They are those of its robots, whatever firmware these have, and of nobody without a site."""
    assert run.of_berlin == {"Connections": 8, "Robots lost": (RELEASED + 1) // 2}
    closed = [each["robot_id"] for each in run.of("telemetry.connection_closed")]
    numbers = [int(robot.rpartition("_")[2]) for robot in closed if "_lost_" not in robot]
    for at, site in enumerate(SITES):
        expected = sum(number % 2 == at for number in numbers)
        assert loki_panels.stat(run, "audit.json", "Closed", site=site) == expected
        assert run.shown("analytics.json", "Runs") == run.shown("analytics.json", "Runs", site=site)


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
    away = run.rows["Offline now"][0].keys()
    assert len(away) == LOST + RELEASED
    assert away >= {f"robot_lost_{n}" for n in range(LOST)}
    assert not away & run.readings.keys()


def test_rates_of_the_last_seconds(run: Run) -> None:
    """Events per second, and the slowest runs to the bucket: of two instances, and none that left.

    A rate is that of what Prometheus saw: it ends some seconds ago, and may lack an export and a
    scrape at either end.
    """
    windows = [_recent(run, ago) for ago in range(6)]
    rates = [len(recent) / RECENT for recent in windows]
    assert 0.7 * min(rates) <= run.rates["Events"] <= 1.3 * max(rates)
    # One slow run at an end of the window may be what is lacking.
    seen = [_recent(run, ago, RECENT / 2) for ago in range(6 + RECENT // 2)]
    least, most = min(map(_slowest, seen)), max(map(_slowest, windows))
    bounds = (0, *semconv.CHARTER_JOB_RUN_DURATION.boundaries)
    lower, upper = (bisect_left(bounds, seconds) for seconds in (least, most))
    assert bounds[lower - 1] <= run.rates["Slowest runs"] <= bounds[upper]


def _recent(run: Run, ago: int, length: float = RECENT) -> list[dict[str, Any]]:
    """Return the events of the window that ended so many seconds before."""
    return [e for e in run.events if 0 <= run.looked - e["timestamp"] - ago <= length]


def _slowest(events: list[dict[str, Any]]) -> float:
    """Return the seconds that the longest good run took."""
    runs = (e["payload"] for e in events if e["type"] == "metrics.aggregation_completed")
    return max(float(run["duration_ms"]) / 1000 for run in runs)


def test_robots_that_come_and_go(run: Run) -> None:
    """The number of times that each came or went after it was first seen, at any instance."""
    (changes,) = run.asked("incidents.json", "Presence changes")
    shown = {one["metric"]["charter_robot_id"]: float(one["value"][1]) for one in changes}
    happened = Counter(
        event["payload"]["robot_id"]
        for event in run.events
        if event["type"].startswith("telemetry.connection_")
    )
    often = {robot: times - 1 for robot, times in happened.items() if times > 2}
    assert shown == often


def test_connections_of_the_audit(run: Run) -> None:
    """Those that began and ended, however, and for how long on average; of one robot only its."""
    began, closed = (run.of(f"telemetry.connection_{each}") for each in ("established", "closed"))
    lost = [each for each in closed if each["reason"] not in EXPECTED_CLOSE_REASONS]
    shown = loki_panels.stat
    assert len(closed) > 40
    assert shown(run, "audit.json", "Established") == len(began)
    assert shown(run, "audit.json", "Closed") == len(closed)
    assert shown(run, "audit.json", "Closed unexpectedly") == len(lost)
    mean = statistics.mean(each["duration_seconds"] for each in closed)
    assert shown(run, "audit.json", "Mean duration") == pytest.approx(mean)
    one = lost[0]["robot_id"]
    of_one = sum(each["robot_id"] == one for each in closed)
    assert shown(run, "audit.json", "Closed", robot=one) == of_one
    assert shown(run, "audit.json", "Closed unexpectedly", robot="robot_unknown") == 0


def test_bars_of_the_audit(run: Run) -> None:
    """Each event is in one of them; the longest connection is the greatest dot."""
    closed = run.of("telemetry.connection_closed")
    reasons = Counter(each["reason"] for each in closed)
    assert loki_panels.bars(run, "audit.json", "Ends by reason") == reasons
    happened = Counter(event["type"] for event in run.events)
    shown = loki_panels.bars(run, "audit.json", "Events by type")
    for kind, number in happened.items():
        # A killed instance may have emitted runs that it never exported.
        least = number if kind.startswith("telemetry.") else number - 3
        assert least <= shown[kind] <= number, kind
    assert shown.keys() == happened.keys()


@pytest.mark.parametrize(
    ("dashboard", "title", "kind"),
    [
        ("audit.json", "Connections that began", "telemetry.connection_established"),
        ("audit.json", "Connections that ended", "telemetry.connection_closed"),
        ("fleet.json", "Lost connections", "telemetry.connection_closed"),
        ("incidents.json", "Disconnects", "telemetry.connection_closed"),
        ("incidents.json", "Failed runs by time", "metrics.aggregation_failed"),
    ],
)
def test_rows_of_events_to_the_last_one(run: Run, dashboard: str, title: str, kind: str) -> None:
    """Each is a row with its values and its trace, once; only losses where losses are asked for."""
    found = loki_panels.rows(run, dashboard, title)
    wanted = [
        event["payload"] | {"trace": event["meta"]["correlation_id"]}
        for event in run.events
        if event["type"] == kind
        and (
            dashboard == "audit.json"
            or event["payload"].get("reason") not in EXPECTED_CLOSE_REASONS
        )
    ]
    columns = {heading: FIELDS[heading] for heading in found[0]}
    assert sorted(tuple(row.values()) for row in found) == sorted(
        tuple(str(event[field]) for field in columns.values()) for event in wanted
    )


def test_alerts_that_fire(run: Run) -> None:
    """All but those for machines, as the rules had it at their last evaluation."""
    assert run.ended is not None
    asked = 'count(ALERTS{alertstate="firing", severity!="none"})'
    evaluated = [query(run.prometheus, asked, run.ended - ago) for ago in range(16)]
    counts = {float(samples[0]["value"][1]) for samples in evaluated if samples}
    assert counts
    assert run.shown("incidents.json", "Alerts firing") in counts


def test_every_stat_is_compared() -> None:
    """A new stat of any dashboard is held to the events too."""
    texts = "".join(Path(file).read_text() for file in (__file__, known_run.__file__))
    compared = set(re.findall(r'"(\w+\.json)",\s*"([^"]+)"', texts))
    stats = {
        (name, panel["title"])
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        if panel["type"] == "stat"
    }
    assert stats - compared == set()
