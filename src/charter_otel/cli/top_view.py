"""The screen of `charter-otel top`: one snapshot of a service, for 80 x 24 characters and more."""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from msgspec import ValidationError, convert
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from charter_otel.charter import EXPECTED_CLOSE_REASONS, Event, EventType
from charter_otel.cli.formatting import age, duration
from charter_otel.otel.lines.console import event_text
from charter_otel.otel.lines.values import printable

_WIDE = 130
"""Width in columns from which robots and events stand side by side."""
_HEAD, _JOBS, _NAME = 5, 6, 25
_SHORT: dict[str, str] = {
    EventType.METRICS_AGGREGATION_STARTED: "run started",
    EventType.METRICS_AGGREGATION_COMPLETED: "run completed",
    EventType.METRICS_AGGREGATION_FAILED: "run failed",
    EventType.TELEMETRY_CONNECTION_ESTABLISHED: "connected",
    EventType.TELEMETRY_CONNECTION_CLOSED: "closed",
    EventType.TELEMETRY_METRICS_PUBLISHED: "readings",
}
"""Short names of types, which fit into a row."""
_TONES = {"ready": "green", "completed": "green", "degraded": "yellow", "failed": "bold red"}


@dataclass(frozen=True)
class Look:
    """A snapshot: the answers of a service."""

    url: str
    board: dict[str, Any]
    ready: dict[str, Any]
    robots: dict[str, Any]
    events: list[dict[str, Any]]
    lost_at: float | None = None
    """Unix time since which the service has not answered."""
    error: str = ""

    def lost(self, at: float, error: str) -> Self:
        """Return the last snapshot, marked as out of date."""
        return replace(self, lost_at=at, error=error)

    @property
    def now(self) -> float:
        """The service's clock."""
        return float(self.board["now"])


def screen(look: Look, width: int, height: int) -> RenderableType:
    """Return the whole screen."""
    jobs = max(1, min(_JOBS, len(look.board["jobs"]))) + 3
    layout = Layout()
    layout.split_column(
        Layout(_head(look), size=_HEAD),
        Layout(_jobs(look), size=jobs),
        Layout(name="lists"),
    )
    rest = height - _HEAD - jobs
    if width >= _WIDE:
        layout["lists"].split_row(
            Layout(_robots(look, rest - 3)), Layout(_events(look, rest - 2, width // 2 - 4))
        )
    else:
        robots = max(4, min(rest * 5 // 9, len(look.robots["robots"]) + 3))
        layout["lists"].split_column(
            Layout(_robots(look, robots - 3), size=robots),
            Layout(_events(look, rest - robots - 2, width - 4)),
        )
    return _Sized(layout, height)


@dataclass
class _Sized:
    """A layout with a fixed height, even if it is printed only once."""

    layout: Layout
    height: int

    def __rich_console__(self, console: Any, options: Any) -> Any:
        yield from console.render(self.layout, options.update(height=self.height))


def _head(look: Look) -> RenderableType:
    board, fleet = look.board, look.board["fleet"]
    status = str(look.ready.get("status", "?"))
    numbers = Text.assemble(
        (f"{fleet['online']:,}", "bold green"),
        " online  ",
        (f"{fleet['offline']:,}", "bold yellow" if fleet["offline"] else "bold"),
        " offline  ",
        (f"{board['connections']:,}", "bold"),
        f" connections{_where(board)}  ",
        (f"{sum(board['emitted'].values()):,}", "bold"),
        " events emitted",
    )
    reasons = "  ".join(f"{count:,} {printable(name)}" for name, count in fleet["reasons"].items())
    title = Text.assemble(("charter-otel top", "bold"), f"  {printable(look.url)}  ")
    title.append(status, _TONES.get(status, "bold red"))
    clock = time.strftime("%H:%M:%SZ", time.gmtime(look.now))
    trouble = "  ".join(
        f"{count:,} {printable(name)}" for name, count in board["trouble"].items() if count
    )
    last = Text.assemble(
        (f"left: {reasons}" if reasons else "nobody has left", "dim"),
        (f"   in trouble{_where(board)}: {trouble}" if trouble else "", "yellow"),
        no_wrap=True,
        overflow="ellipsis",
    )
    return Panel(
        Group(numbers, last, _state(look)),
        title=title,
        title_align="left",
        subtitle=f"{clock}  q quits",
        subtitle_align="right",
    )


def _where(board: dict[str, Any]) -> str:
    """Return which robots a number is about, if other instances have some as well."""
    return " here" if board["instances"] > 1 else ""


def _state(look: Look) -> Text:
    """Return what is wrong, since when and why; or else the state of the stream."""
    if look.lost_at is not None:
        since = age(time.time() - look.lost_at)
        return Text(
            f"no answer for {since}: {printable(look.error)}; what you see is from then",
            "bold red",
            no_wrap=True,
        )
    for name, state in look.ready.get("dependencies", {}).items():
        if state["status"] != "ready":
            since = f" since {state['since']}" if state.get("since") else ""
            why = f": {printable(state['error'])}" if state.get("error") else ""
            return Text(f"{name} is {state['status']}{since}{why}", "bold yellow", no_wrap=True)
    stream = look.ready.get("dependencies", {}).get("event_stream", {})
    waiting = (stream.get("queued") or 0) + (stream.get("spooled") or 0)
    dropped = stream.get("dropped") or 0
    system = stream.get("system", "ready")
    return Text(f"stream {system}: {waiting:,} waiting, {dropped:,} dropped", "green")


def _jobs(look: Look) -> RenderableType:
    shown = look.board["jobs"][:_JOBS]
    failing = any(job["last_error"] for job in shown)
    columns = ("job", "last run", "took", "next in", "ok", "failed")
    table = _table(*columns, *(("last error",) if failing else ()))
    for job in shown:
        table.add_row(*_job(job, look.now)[: len(table.columns)])
    return Panel(table, title="jobs", title_align="left")


def _job(job: dict[str, Any], now: float) -> list[Text]:
    outcome = "running" if job["active_runs"] else job["last_outcome"] or "waiting"
    ended, took, due = job["last_ended_at"], job["last_duration_ms"], job["next_run_at"]
    last = f"{outcome} {age(now - ended)} ago" if ended else outcome
    return [
        Text(printable(job["job_id"]), "bold"),
        Text(last, _TONES.get(outcome, "")),
        Text(duration(took / 1000) if took is not None else ""),
        Text(age(due - now) if due else ""),
        Text(f"{job['completed_runs']:,}"),
        Text(f"{job['failed_runs']:,}", "bold red" if job["failed_runs"] else ""),
        Text(printable(job["last_error"] or ""), "red"),
    ]


def _robots(look: Look, rows: int) -> RenderableType:
    table = _table("robot", "status", "since", "cpu", "mem", "latency", "batt")
    for robot in look.robots["robots"][: max(0, rows)]:
        table.add_row(*_robot(robot, look.now, look.board["marks"]))
    known, shown = look.robots["known"], min(len(look.robots["robots"]), max(0, rows))
    return Panel(table, title=f"robots, {shown:,} of {known:,}", title_align="left")


def _robot(robot: dict[str, Any], now: float, marks: dict[str, Any]) -> list[Text]:
    online = robot["status"] == "online"
    reason = printable(robot["last_reason"] or "offline")
    expected = reason in marks["expected_reasons"]
    since = robot["connected_at"] if online else robot["disconnected_at"]
    metrics = robot["metrics"] or {}
    return [
        Text(printable(robot["robot_id"]), "bold"),
        Text(
            "online" if online else reason, "green" if online else "dim" if expected else "bold red"
        ),
        Text(age(now - since) if since else ""),
        _percent(metrics.get("cpu_usage"), high=marks["cpu_high"]),
        _percent(metrics.get("memory_usage")),
        Text(f"{metrics['network_latency_ms']:.0f} ms" if metrics else "", justify="right"),
        _percent(metrics.get("battery_percentage"), low=marks["battery_low"]),
    ]


def _percent(value: float | None, *, low: float = -1, high: float = 101) -> Text:
    if value is None:
        return Text("")
    return Text(f"{value:.0f} %", "" if low <= value <= high else "bold red", justify="right")


def _events(look: Look, rows: int, width: int) -> RenderableType:
    lines = [_event(event, width) for event in reversed(look.events[-max(0, rows) :])]
    return Panel(Group(*lines), title="events, the latest first", title_align="left")


def _event(envelope: dict[str, Any], width: int) -> Text:
    """Return an event in one row: its time, its text and its whole trace id."""
    try:
        event = convert(envelope, Event)
    except ValidationError:
        return Text(printable(envelope.get("type")), no_wrap=True)
    clock = time.strftime("%H:%M:%S", time.gmtime(event.timestamp))
    trace = printable(event.meta.get("correlation_id") or "")
    text = f"{_SHORT.get(event.type, printable(event.type))}  {event_text(event)}"
    room = width - len(clock) - len(trace) - 2
    line = Text(no_wrap=True, overflow="ellipsis").append(f"{clock} ", "dim")
    shown = text[:room].ljust(room) if len(text) <= room else f"{text[: room - 1]}\u2026"
    line.append(shown, _tone(event))
    return line.append(f" {trace}", "dim")


def _tone(event: Event) -> str:
    if event.type == EventType.METRICS_AGGREGATION_FAILED:
        return "bold red"
    reason = event.payload.get("reason")
    return "red" if reason and reason not in EXPECTED_CLOSE_REASONS else "none"


def _table(*columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        number = column in {"cpu", "mem", "latency", "batt"}
        name = _NAME if column == "job" else None
        justify: Literal["left", "right"] = "right" if number else "left"
        table.add_column(column, no_wrap=True, justify=justify, min_width=name)
    return table
