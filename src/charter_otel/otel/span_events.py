"""The event to span event bridge of the OpenTelemetry specification, which no Python SDK has."""

import logging

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.trace import get_current_span

from charter_otel.otel.sdk import plain_attributes

_log = logging.getLogger(__name__)


class EventToSpanEventBridge(LogRecordProcessor):
    """Adds a span event for each event record that belongs to the current span.

    A span event is added if and only if the record has an event name and valid ids of trace and
    span. The current span of its context must be recording and have the same ids. It has the
    record's event name, its timestamp (the observed one if there is none) and all its attributes.
    The body is not copied, and the record itself stays as it is.

    Install it beside the processor that exports the records; the order does not matter::

        provider.add_log_record_processor(EventToSpanEventBridge())

    Source: OpenTelemetry specification, Logs SDK, "Event to span event bridge" (Development).
    """

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Add the span event, if one is due; never raise, so that the record goes on."""
        try:
            self._bridge(log_record)
        except Exception:  # noqa: BLE001 - a processor never raises
            _log.exception("no span event: the current span did not take it")

    def shutdown(self) -> None:
        """Do nothing: the bridge holds nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: the bridge holds nothing."""
        del timeout_millis
        return True

    def _bridge(self, log_record: ReadWriteLogRecord) -> None:
        record = log_record.log_record
        if not record.event_name or not record.trace_id or not record.span_id:
            return
        span = get_current_span(record.context)
        if not span.is_recording():
            return
        context = span.get_span_context()
        if context.trace_id != record.trace_id or context.span_id != record.span_id:
            return
        timestamp = record.timestamp if record.timestamp is not None else record.observed_timestamp
        attributes = record.attributes
        if isinstance(attributes, BoundedAttributes):
            attributes = attributes.copy()  # a dict, which the span reads much faster
        plain_attributes.add_event(span, record.event_name, attributes, timestamp)
