"""The console form of the log: lines for a person, in which no value can steer the terminal.

A line is wrapped between words at the terminal's width, or at 80 columns without a terminal. So a
trace id stays whole and can be copied. The rows after the first are indented: nothing that a line
quotes looks like the beginning of another one.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from structlog.typing import EventDict, WrappedLogger

from charter_otel.charter import CATALOG, Event, EventType
from charter_otel.otel.lines.values import Envelope, printable, timestamp
from charter_otel.otel.records import severity

_COLUMNS = 80
_LEVELS = {"warning": "warn", "critical": "crit", "exception": "error"}
_INDENT = " " * len("hh:mm:ss.mmm ")
_HIDDEN = ("logger", "service.name", "span_id", "trace_flags")
_STYLES = {
    "dim": "2",
    "bold": "1",
    "key": "36",
    "debug": "36",
    "info": "32",
    "warn": "33",
    "error": "1;31",
    "crit": "1;31",
}

_SENTENCES: dict[str, str] = {
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
"""The words for each type of event; its times are the line's own."""


class _Word(NamedTuple):
    """A piece of a line that is not broken."""

    text: str
    style: str = ""
    before: str = " "
    """The space between it and the word before, in one row."""


def console_processors(*, colors: bool = True) -> list[Any]:
    """Return the last processor of the console form; it ends with an encoded line.

    Args:
        colors: Whether the lines are coloured; in a file, plain lines are easier to read.
    """

    def render(_: WrappedLogger, __: str, event_dict: EventDict) -> bytes:
        return _render(event_dict, colors=colors)

    return [render]


def event_line(event: Event, *, colors: bool) -> str:
    """Return the line of an event that came from elsewhere."""
    fields = {
        "timestamp": timestamp(event.timestamp),
        "level": severity(event) if event.type in CATALOG else "info",
        "event": event.type,
        "trace_id": event.meta.get("correlation_id"),
    }
    return _lay_out(fields, _details(event.type, event.payload), colors=colors)


def event_text(event: Event) -> str:
    """Describe the event in a few words."""
    words = "".join(word.before + word.text for word in _details(event.type, event.payload))
    return words.strip(" ")


def _render(event_dict: EventDict, *, colors: bool) -> bytes:
    envelope = event_dict.pop("charter", None)
    words: Iterable[_Word] = ()
    if isinstance(envelope, Envelope):
        words = _details(envelope["type"], envelope["payload"])
    elif envelope is not None:
        event_dict["charter"] = envelope
    line = _lay_out(event_dict, words, colors=colors)
    return line.encode("utf-8", "backslashreplace") + b"\n"


def _lay_out(fields: Mapping[str, Any], details: Iterable[_Word], *, colors: bool) -> str:
    """Return a line: time, level, event, details, trace id."""
    left = {name: value for name, value in fields.items() if name not in _HIDDEN}
    level = str(left.pop("level", "info"))
    level = _LEVELS.get(level, level)
    head = [
        _Word(str(left.pop("timestamp", ""))[11:23], "dim", ""),
        _Word(f"{level[:5]:<5}", level),
    ]
    trace_id = left.pop("trace_id", None)
    stacktrace = left.pop("exception.stacktrace", None)
    words = [*_split(printable(left.pop("event", "")), "bold"), *details, *_pairs(left)]
    if trace_id:
        words.append(_Word(f"trace={printable(trace_id)}", "dim", "  "))
    rows = [_row(row, colors=colors) for row in _wrap(head, words)]
    # Rows of a traceback stay as they are: people compare them with the code.
    if stacktrace:
        rows += [f"    {printable(row)}" for row in str(stacktrace).rstrip("\n").split("\n")]
    return "\n".join(rows)


def _details(event_type: str, payload: Mapping[str, Any]) -> Iterator[_Word]:
    """Describe the event in words, or value by value if its type has none."""
    values = _flat(payload)
    template = _SENTENCES.get(event_type)
    if template is not None:
        try:
            # The reason is the one field that an event may lack.
            yield from _split(template.format_map({"reason": "ended", **values}), before="  ")
        except (KeyError, ValueError):  # an event of another version has other fields
            template = None
    if template is None:
        yield from _pairs(values)


def _flat(payload: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in payload.items():
        values.update(_flat(value) if isinstance(value, Mapping) else {key: _shown(value)})
    return values


def _pairs(values: Mapping[str, Any]) -> Iterator[_Word]:
    for key, value in values.items():
        first, *rest = _split(f"{printable(key)}={_shown(value)}", before="  ")
        yield first._replace(style="key")
        yield from rest


def _split(text: str, style: str = "", before: str = " ") -> list[_Word]:
    """Return a text as words; two spaces in it stay two."""
    words: list[_Word] = []
    gap = before
    for piece in text.split(" "):
        if piece:
            words.append(_Word(piece, style, gap))
            gap = " "
        elif words:
            gap = "  "
    return words or [_Word("", style, before)]


def _wrap(head: list[_Word], words: list[_Word]) -> Iterator[list[_Word]]:
    """Put words into rows no wider than the terminal; a wider word has a row of its own.

    Words that belong together stay together if they fit into a row.
    """
    width = max(shutil.get_terminal_size((_COLUMNS, 24)).columns, _COLUMNS // 2)
    indent = _Word(_INDENT[:-1], "", "")
    row, used, fresh = head, len("hh:mm:ss.mmm level"), True
    for word, lengths in _with_length(words):
        room = lengths if len(_INDENT) + lengths <= width else len(word.text)
        if not fresh and used + len(word.before) + room > width:
            yield row
            row, used, fresh = [indent], len(indent.text), True
        placed = word._replace(before=" ") if fresh else word
        row, fresh = [*row, placed], False
        used += len(placed.before) + len(placed.text)
    yield row


def _with_length(words: list[_Word]) -> Iterator[tuple[_Word, int]]:
    """Return each word with the length from it to the end of its group."""
    lengths: list[int] = []
    length = 0
    for word in reversed(words):
        length += len(word.text)
        lengths.append(length)
        length = 0 if word.before == "  " else length + len(word.before)
    return zip(words, reversed(lengths), strict=True)


def _row(words: list[_Word], *, colors: bool) -> str:
    return "".join(
        word.before + (_coloured(word) if colors and word.style in _STYLES else word.text)
        for word in words
    ).rstrip(" ")


def _coloured(word: _Word) -> str:
    key, sign, value = word.text.partition("=") if word.style == "key" else (word.text, "", "")
    return f"\x1b[{_STYLES[word.style]}m{key}\x1b[0m{sign}{value}"


def _shown(value: Any) -> Any:
    """Return a value that is safe in a line: terminal control characters are escaped."""
    return value if isinstance(value, bool | int | float | None) else printable(value)
