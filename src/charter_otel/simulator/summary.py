"""The summary of a demonstration: one JSON line for a machine, tables for a person."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from charter_otel.charter import CATALOG, EventType
from charter_otel.emit import EmitStatistics
from charter_otel.simulator import FleetStats
from charter_otel.simulator.delivery_counter import DeliveryCounter


def command() -> str:
    """Return the words that start the command line: its path, if PATH does not lead to it."""
    if shutil.which("charter-otel"):
        return "charter-otel"
    path = os.path.relpath(Path(sys.executable).with_name("charter-otel"))
    words = [path] if os.access(path, os.X_OK) else [sys.executable, "-m", "charter_otel"]
    return shlex.join(words)


def next_steps() -> dict[str, str]:
    """Return the next steps: each a purpose and a command."""
    start = command()
    return {
        "the service": f"{start} serve",
        "robots for it": f"{start} simulate --robots 100 --seconds 60",
        "its events": f"{start} tail",
        "events kept": "export CHARTER_EVENT_STREAM=redis://127.0.0.1:6379/0",
        "OpenTelemetry": "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318",
        "all around it": f"{start} assets charter-assets",
    }


_FAILED = EventType.METRICS_AGGREGATION_FAILED


class DemoSummary(Struct, frozen=True, kw_only=True):
    """A demonstration in numbers."""

    seconds: float
    events: dict[str, int]
    """Events by type."""
    robots: int
    connections_established: int
    connections_closed: int
    job_runs: int
    frames_sent: int
    frames_acknowledged: int
    bad_frames_answered: int
    missions_posted: int
    emission_p50_us: float
    """CPU time that emitting an event to all five sinks takes, in microseconds."""
    emission_p99_us: float
    errors: dict[str, int]
    """Errors of the fleet by kind, and of the emitter by sink."""
    first_error: str | None
    events_replayed: int | None
    """Events that came to the stream's subscriber after an outage; None if not counted."""
    events_lost: int | None
    """Events that never came."""
    board: str
    """Address of the board, while the service ran."""


def summarize(
    stats: FleetStats,
    statistics: EmitStatistics,
    *,
    board: str,
    robots: int,
    seconds: float,
    deliveries: DeliveryCounter | None,
) -> DemoSummary:
    """Return the summary of the counts of fleet, emitter and deliveries."""
    emitted = statistics.emitted
    return DemoSummary(
        seconds=round(seconds, 3),
        events={event_type: emitted.get(event_type, 0) for event_type in CATALOG},
        robots=robots,
        connections_established=emitted.get(EventType.TELEMETRY_CONNECTION_ESTABLISHED, 0),
        connections_closed=emitted.get(EventType.TELEMETRY_CONNECTION_CLOSED, 0),
        job_runs=emitted.get(EventType.METRICS_AGGREGATION_COMPLETED, 0)
        + emitted.get(EventType.METRICS_AGGREGATION_FAILED, 0),
        frames_sent=stats.sent,
        frames_acknowledged=stats.acknowledged,
        bad_frames_answered=stats.bad_frames_answered,
        missions_posted=stats.missions,
        emission_p50_us=round(statistics.median * 1e6, 1),
        emission_p99_us=round(statistics.p99 * 1e6, 1),
        errors={**stats.errors, **{f"sink {s}": n for s, n in statistics.failed.items()}},
        first_error=stats.first_error,
        events_replayed=deliveries.replayed if deliveries else None,
        events_lost=sum(emitted.values()) - deliveries.seen if deliveries else None,
        board=board,
    )


def log(summary: DemoSummary) -> None:
    """Write the summary as a line of the log."""
    fields: dict[str, Any] = msgspec.to_builtins(summary)
    structlog.get_logger("charter_otel.cli.demo").info("demo.summary", **fields)


def show(summary: DemoSummary, *, stderr: bool) -> None:
    """Show the summary to a person."""
    console = Console(stderr=stderr)
    # A command to copy stays on one line.
    console.width = max(console.width, 80)
    for title, rows in (
        ("Events", {name: f"{count:,}" for name, count in summary.events.items()}),
        ("In numbers", _numbers(summary)),
        ("How to go on", next_steps()),
    ):
        console.print(_table(title, rows))
    console.print(f"\nThe service has its board, too; here it was at {summary.board}/")


def _table(title: str, rows: dict[str, str]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(f"  {name}", value)
    return table


def _numbers(summary: DemoSummary) -> dict[str, str]:
    opened, closed = summary.connections_established, summary.connections_closed
    numbers = {
        "connections": f"{opened} established, {closed} closed, by {summary.robots} robots",
        "job runs": f"{summary.job_runs}, {summary.events[_FAILED]} of them failed",
        "mission entries": f"{summary.missions_posted:,}",
        "frames": f"{summary.frames_sent:,} sent, {summary.frames_acknowledged:,} acknowledged",
        "bad frames": f"{summary.bad_frames_answered} sent on purpose, answered with an error",
        "emitting an event": f"{_cost(summary)} of CPU time",
        "errors": ", ".join(f"{n} {kind}" for kind, n in summary.errors.items()) or "none",
    }
    if summary.events_lost is not None:
        lost = f"{summary.events_lost:,} events" if summary.events_lost else "nothing"
        numbers["lost"] = f"{lost}; {summary.events_replayed} events waited and were replayed"
    return numbers


def _cost(summary: DemoSummary) -> str:
    return f"p50 {summary.emission_p50_us} µs, p99 {summary.emission_p99_us} µs"
