"""The console form of the log: short lines for a person, none of which steers the terminal."""

from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from charter_otel.charter import EventType
from charter_otel.otel.lines.values import Envelope, as_text

_EVENT_WIDTH = 34
_INDENT = "    "
"""What each line of a traceback starts with, so that none looks like a line of the log."""
_HIDDEN = ("logger", "service.name", "span_id", "trace_flags")

_TOLD: dict[str, str] = {
    EventType.METRICS_AGGREGATION_STARTED: "{job_id}",
    EventType.METRICS_AGGREGATION_COMPLETED: (
        "{job_id}  {entries_processed} entries in {duration_ms:.1f} ms"
    ),
    EventType.METRICS_AGGREGATION_FAILED: "{job_id}  {error_type}: {error_message}",
    EventType.TELEMETRY_CONNECTION_ESTABLISHED: "{robot_id}",
    EventType.TELEMETRY_CONNECTION_CLOSED: "{robot_id}  {reason} after {duration_seconds:.1f} s",
    EventType.TELEMETRY_METRICS_PUBLISHED: (
        "{robot_id}  cpu {cpu_usage:.0f} %  memory {memory_usage:.0f} %"
        "  latency {network_latency_ms:.0f} ms  battery {battery_percentage:.0f} %"
    ),
}
"""What a line tells of an event; its times are the line's own."""


def console_processors(*, colors: bool = True) -> list[Any]:
    """Return the last processors of the console form; they end with encoded lines.

    Args:
        colors: Whether the lines are coloured; in a file they are easier to read without.
    """
    console = structlog.dev.ConsoleRenderer(
        colors=colors,
        exception_formatter=structlog.dev.plain_traceback,
        pad_event_to=_EVENT_WIDTH,
        sort_keys=False,
    )

    def render(logger: WrappedLogger, name: str, event_dict: EventDict) -> bytes:
        try:
            line = str(console(logger, name, dict(event_dict)))
        except Exception:  # noqa: BLE001 - a line must not fail the code that writes it
            line = str(console(logger, name, {k: as_text(v) for k, v in event_dict.items()}))
        return line.encode("utf-8", "backslashreplace") + b"\n"

    return [_shorten, render]


def _shorten(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Show what a person reads: the time of day, what happened, the beginning of the trace id."""
    event_dict["timestamp"] = event_dict["timestamp"][11:23]
    for key in _HIDDEN:
        event_dict.pop(key, None)
    envelope, trace_id = event_dict.pop("charter", None), event_dict.pop("trace_id", None)
    stacktrace = event_dict.pop("exception.stacktrace", None)
    for key, value in event_dict.items():
        event_dict[key] = _shown(value)
    if isinstance(envelope, Envelope):
        _tell(event_dict, envelope)
    elif envelope is not None:
        event_dict["charter"] = _shown(envelope)
    if trace_id:
        event_dict["trace"] = trace_id[:8]
    if stacktrace:
        event_dict["exception"] = "\n".join(
            f"{_INDENT}{_printable(line)}" for line in stacktrace.split("\n")
        )
    return event_dict


def _tell(event_dict: EventDict, envelope: Envelope) -> None:
    """Say what happened in words, or value by value where there are none for the event's type."""
    values = _flat(envelope["payload"])
    told = _TOLD.get(envelope["type"])
    if told is None:
        event_dict.update(values)
    else:
        # The reason is the one field that an event may lack.
        said = told.format_map({"reason": "ended", **values})
        event_dict["event"] = f"{envelope['type']:<{_EVENT_WIDTH}}{said}"


def _flat(payload: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in payload.items():
        values.update(_flat(value) if isinstance(value, Mapping) else {key: _shown(value)})
    return values


def _shown(value: Any) -> Any:
    """Return a value that is safe to render: text is escaped, plain numbers stay as they are."""
    return value if isinstance(value, bool | int | float | None) else _printable(value)


def _printable(value: Any) -> str:
    """Escape what would steer the terminal or begin a new line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in as_text(value))
