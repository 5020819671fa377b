"""structlog for the whole process: one JSON object a line, or a console form on a terminal."""

import logging
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from charter_otel.otel.console import console_processors
from charter_otel.otel.line_values import Envelope, as_text, safe_repr
from charter_otel.otel.lines import LineWriter
from charter_otel.otel.trace_context import current

LogFormat = Literal["json", "console"]

_FIRST_KEYS = (
    "timestamp",
    "level",
    "event",
    "logger",
    "service.name",
    "trace_id",
    "span_id",
    "trace_flags",
)
_LINE_ENDS = (
    ("\u0085".encode(), rb"\u0085"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)
"""Line ends beyond ASCII (Unicode Annex 14), and how JSON escapes them."""
_STACK_LIMIT = 30
"""Frames of a traceback that a line carries: the innermost tell what happened."""


def configure_logs(
    *,
    service_name: str,
    log_format: LogFormat | None = None,
    level: str = "INFO",
    writer: LineWriter | None = None,
) -> LineWriter:
    """Send structlog's and the standard library's lines through one renderer to stdout.

    Args:
        service_name: What each line names as ``service.name``.
        log_format: JSON lines or the console form; unless given, by whether stdout is a terminal.
        level: The lowest level that is written.
        writer: Where the lines go.

    Returns:
        The writer; flush it before the process ends.
    """
    writer = writer or LineWriter()
    log_format = log_format or default_format(sys.stdout)
    shared = [
        structlog.contextvars.merge_contextvars,
        _add_service_name(service_name),
        add_trace_context,
        _add_exception,
        *(console_processors() if log_format == "console" else _json()),
    ]
    structlog.configure(
        processors=[structlog.processors.add_log_level, _add_name_and_time, *shared],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=_LoggerFactory(writer),
        cache_logger_on_first_use=False,
    )
    _configure_standard_library(writer, level, shared)
    return writer


def default_format(stream: TextIO) -> LogFormat:
    """Give the console form for a terminal and JSON for everything else."""
    return "console" if stream.isatty() else "json"


def add_trace_context(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Add ``trace_id``, ``span_id`` and ``trace_flags`` of the current span, recording or not."""
    context = current()
    if context.is_valid:
        event_dict["trace_id"] = f"{context.trace_id:032x}"
        event_dict["span_id"] = f"{context.span_id:016x}"
        event_dict["trace_flags"] = f"{context.trace_flags:02x}"
    return event_dict


def timestamp(seconds: float) -> str:
    """Give Unix seconds as RFC 3339 in UTC, with microseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class _LineLogger:
    """The innermost logger: takes rendered bytes and knows its name."""

    def __init__(self, name: str, writer: LineWriter) -> None:
        self.name = name
        self._write = writer.write

    def msg(self, line: bytes) -> None:
        self._write(line)

    debug = info = warning = warn = error = critical = exception = log = fatal = msg


class _LoggerFactory:
    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def __call__(self, *names: Any) -> _LineLogger:
        return _LineLogger(names[0] if names else "root", self._writer)


class _LineHandler(logging.Handler):
    """Brings the standard library's records through the same processors to the same writer."""

    def __init__(self, writer: LineWriter, processors: list[Processor]) -> None:
        super().__init__()
        self._writer = writer
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line: Any = {
                "event": record.getMessage(),
                "logger": record.name,
                "level": record.levelname.lower(),
                "timestamp": timestamp(record.created),
                "exc_info": record.exc_info,
            }
            for processor in self._processors:
                line = processor(None, record.levelname.lower(), line)
            self._writer.write(line)
        except Exception:  # noqa: BLE001 - logging's contract: a handler never raises
            self.handleError(record)


def _configure_standard_library(
    writer: LineWriter, level: str, processors: list[Processor]
) -> None:
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(_LineHandler(writer, processors))
    root.setLevel(level)
    # At DEBUG the exporters' HTTP client logs its own requests, which are then exported.
    for name in ("urllib3", "opentelemetry", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _add_name_and_time(logger: Any, _: str, event_dict: EventDict) -> EventDict:
    given = event_dict.get("timestamp")
    event_dict["logger"] = getattr(logger, "name", "root")
    event_dict["timestamp"] = timestamp(given if isinstance(given, float) else time.time())
    return event_dict


def _add_service_name(name: str) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def add(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
        event_dict["service.name"] = name
        return event_dict

    return add


def _add_exception(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Put an exception into the conventions' three fields; the traceback module is fast enough."""
    error = _exception(event_dict.pop("exc_info", None))
    if error is not None:
        summary = traceback.TracebackException.from_exception(error, limit=-_STACK_LIMIT)
        event_dict["exception.type"] = type(error).__qualname__
        event_dict["exception.message"] = str(summary)
        event_dict["exception.stacktrace"] = "".join(summary.format())
    return event_dict


def _exception(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exception() if exc_info else None


def _json() -> list[Any]:
    encoder = msgspec.json.Encoder(enc_hook=safe_repr)

    def render(_: WrappedLogger, __: str, event_dict: EventDict) -> bytes:
        line = {key: event_dict.pop(key) for key in _FIRST_KEYS if key in event_dict}
        line.update(event_dict)
        if isinstance(charter := line.get("charter"), Envelope):
            line["charter"] = msgspec.Raw(charter.encoded)
        try:
            encoded = encoder.encode(line)
        except Exception:  # noqa: BLE001 - a line must not fail the code that writes it
            encoded = encoder.encode(_made_safe(line, encoder))
        return _one_line(encoded) + b"\n"

    return [render]


def _one_line(encoded: bytes) -> bytes:
    """Escape what JSON leaves as it is and some readers take for the end of a line."""
    if encoded.isascii():
        return encoded
    for character, escape in _LINE_ENDS:
        encoded = encoded.replace(character, escape)
    return encoded


def _made_safe(line: dict[str, Any], encoder: msgspec.json.Encoder) -> dict[str, Any]:
    """Replace what cannot be encoded by its text, in lines that have such a key or value."""
    safe: dict[str, Any] = {}
    for key, value in line.items():
        try:
            safe[as_text(key)] = msgspec.Raw(encoder.encode(value))
        except Exception:  # noqa: BLE001 - a value's own code may raise anything
            safe[as_text(key)] = as_text(value)
    return safe
