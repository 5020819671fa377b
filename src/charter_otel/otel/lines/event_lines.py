"""The JSON line of a Charter event, put together from parts that are encoded already.

structlog's way to the same bytes costs three times as much. It is taken if something else shapes
the line: the user's own processors, fields bound to the context, the console form.
"""

import logging
from collections.abc import Mapping

import msgspec

from charter_otel.charter import Event
from charter_otel.otel.instrumentation import SCOPE
from charter_otel.otel.lines.values import as_text, one_line, timestamp
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.otel.trace_context import TraceIds

NO_LABELS: Mapping[str, str] = {}

_LEVELS = {
    "info": ("info", logging.INFO),
    "warn": ("warning", logging.WARNING),
    "error": ("error", logging.ERROR),
}
"""Severity of an event → level of its line, by name and number."""


class EventLines:
    """Writes the lines of Charter events.

    Args:
        service_name: The ``service.name`` of each line.
        level: The lowest level that is written, as `logging` numbers it.
        writer: Where the lines go.
    """

    def __init__(self, service_name: str, level: int, writer: LineWriter) -> None:
        self._writer = writer
        self._service_name = service_name
        self._levels = {s: name for s, (name, number) in _LEVELS.items() if number >= level}
        """Severity → level, for the levels that are written."""
        self._heads: dict[tuple[str, str], str] = {}
        """Type and severity → the text between time and ids."""

    def write(
        self,
        event: Event,
        encoded: bytes,
        severity: str,
        ids: TraceIds | None,
        labels: Mapping[str, str] = NO_LABELS,
    ) -> None:
        """Write the event's line, if its level is written.

        Args:
            event: The event.
            encoded: Its JSON.
            severity: ``info``, ``warn`` or ``error``.
            ids: The current span's ids.
            labels: The robot's labels, by the names of their attributes.
        """
        level = self._levels.get(severity)
        if level is None:
            return
        head = self._heads.get((event.type, severity))
        if head is None:
            head = _head(event.type, level, self._service_name)
            self._heads[event.type, severity] = head
        trace = (
            f'"trace_id":"{ids.trace_id}","span_id":"{ids.span_id}",'
            f'"trace_flags":"{ids.trace_flags}",'
            if ids
            else ""
        )
        line = f'{{"timestamp":"{timestamp(event.timestamp)}",{head},{trace}"charter":'
        end = b"," + one_line(msgspec.json.encode({**labels}))[1:] if labels else b"}"
        self._writer.write(line.encode() + one_line(encoded) + end + b"\n")


def _head(event_type: str, level: str, service_name: str) -> str:
    name = as_text(service_name)
    head = {"level": level, "event": event_type, "logger": SCOPE, "service.name": name}
    return one_line(msgspec.json.encode(head)).decode()[1:-1]
