"""structlog for the whole process: one JSON object a line, or a console form on a terminal."""

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from charter_otel.otel.lines.console import console_processors
from charter_otel.otel.lines.event_lines import EventLines
from charter_otel.otel.lines.stacktraces import summarize
from charter_otel.otel.lines.values import Envelope, as_text, one_line, safe_repr, timestamp
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.otel.trace_context import current, trace_ids

LogFormat = Literal["json", "console"]

_EXTRA = structlog.stdlib.ExtraAdder()
_SAID_AGAIN = {"asctime", "color_message", "message"}
"""Fields that other handlers' formatters, and uvicorn for its colours, put into a record."""

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


def configure_logs(
    *,
    service_name: str,
    log_format: LogFormat | None = None,
    level: str = "INFO",
    writer: LineWriter | None = None,
    standard_library: bool = True,
) -> LineWriter:
    """Send structlog's and the standard library's lines through one renderer to stdout.

    Args:
        service_name: The ``service.name`` of each line.
        log_format: JSON lines or the console form; by default, the console form on a terminal.
        level: The lowest level that is written.
        writer: Where the lines go.
        standard_library: False leaves the standard library's handlers and levels as they are.

    Returns:
        The writer; flush it before the process ends.
    """
    writer = writer or LineWriter()
    log_format = log_format or default_format(sys.stdout)
    lowest = logging.getLevelName(level)
    factory = _LoggerFactory(writer)
    shared = [
        structlog.contextvars.merge_contextvars,
        _add_service_name(service_name),
        add_trace_context,
        _add_exception,
        *(console_processors(colors=_colors(writer)) if log_format == "console" else _json()),
    ]
    structlog.configure(
        processors=[structlog.processors.add_log_level, _add_name_and_time, *shared],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    if log_format == "json":
        factory.event_lines = EventLines(service_name, lowest, writer)
        factory.configuration = _configuration()
    if standard_library:
        _configure_standard_library(writer, level, shared)
    return writer


def configured_writer() -> LineWriter | None:
    """Return the writer of lines that `configure_logs` has set up, or None if it has not."""
    factory = structlog.get_config()["logger_factory"]
    return factory.writer if isinstance(factory, _LoggerFactory) else None


def event_lines() -> EventLines | None:
    """Return the direct writer of events' lines, or None if they have to go through structlog.

    They have to if structlog is not set up by `configure_logs` as JSON, or no longer is, or if
    fields are bound to the context.
    """
    configuration = structlog.get_config()
    factory = configuration["logger_factory"]
    if not isinstance(factory, _LoggerFactory) or factory.configuration != configuration:
        return None
    return None if structlog.contextvars.get_contextvars() else factory.event_lines


def default_format(stream: TextIO) -> LogFormat:
    """Return the console form for a terminal and JSON for everything else."""
    return "console" if stream.isatty() else "json"


def _colors(writer: LineWriter) -> bool:
    """Return whether to use colours: on a terminal, unless `NO_COLOR` is set (https://no-color.org)."""
    return writer.on_terminal and not os.environ.get("NO_COLOR")


def add_trace_context(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Add ``trace_id``, ``span_id`` and ``trace_flags`` of the current span, recording or not."""
    if ids := trace_ids(current()):
        event_dict.update(ids._asdict())
    return event_dict


_SERVER = ("uvicorn.error", "uvicorn.access")


class _LineLogger:
    """The innermost logger: takes rendered bytes and knows its name."""

    def __init__(self, name: str, writer: LineWriter) -> None:
        self.name = name
        self._write = writer.write

    def msg(self, line: bytes) -> None:
        self._write(line)

    debug = info = warning = warn = error = critical = exception = log = fatal = msg


class _LoggerFactory:
    """Makes the innermost loggers, and holds the direct writer of events' lines, if any."""

    event_lines: EventLines | None = None
    configuration: dict[str, Any] | None = None
    """structlog's configuration under which the direct writer gives the same lines."""

    def __init__(self, writer: LineWriter) -> None:
        self.writer = writer

    def __call__(self, *names: Any) -> _LineLogger:
        return _LineLogger(names[0] if names else "root", self.writer)


class _LineHandler(logging.Handler):
    """Sends the standard library's records through the same processors to the same writer."""

    def __init__(self, writer: LineWriter, processors: list[Processor]) -> None:
        super().__init__()
        self._writer = writer
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line: Any = _extra(record) | {
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


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Return the plain values that ``extra=`` added; whole objects of libraries stay out."""
    added = _EXTRA(logging.getLogger(), "", {"_record": record})
    return {
        key: value
        for key, value in added.items()
        if isinstance(value, str | int | float | None) and key not in _SAID_AGAIN
    }


def _configuration() -> dict[str, Any]:
    """Return structlog's configuration with a copy of the list, which a caller may extend later."""
    configuration = structlog.get_config()
    return configuration | {"processors": configuration["processors"][:]}


def _configure_standard_library(
    writer: LineWriter, level: str, processors: list[Processor]
) -> None:
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(_LineHandler(writer, processors))
    root.setLevel(level)
    # uvicorn on its own writes plain text, to stdout too.
    for name in ("uvicorn", *_SERVER):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # At DEBUG the exporters' HTTP client logs its own requests, which are then exported; at INFO
    # the server writes the address of each client, whose request is a span and a metric already.
    for name in ("urllib3", "opentelemetry", "asyncio", *_SERVER):
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
    """Put an exception into the three fields of the conventions."""
    error = _exception(event_dict.pop("exc_info", None))
    if error is not None:
        summary = summarize(error)
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
        return one_line(encoded) + b"\n"

    return [render]


def _made_safe(line: dict[str, Any], encoder: msgspec.json.Encoder) -> dict[str, Any]:
    """Replace keys and values that cannot be encoded by their text."""
    safe: dict[str, Any] = {}
    for key, value in line.items():
        try:
            safe[as_text(key)] = msgspec.Raw(encoder.encode(value))
        except Exception:  # noqa: BLE001 - a value's own code may raise anything
            safe[as_text(key)] = as_text(value)
    return safe
