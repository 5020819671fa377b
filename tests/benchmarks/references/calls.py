"""One event by the bare calls: log record, span event, two metrics, JSON line, queue."""

import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, ExemplarReservoir, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import get_current_span
from structlog.typing import EventDict, WrappedLogger

from benchmarks.events import EVENT_TYPE, attributes, payload
from charter_otel.charter.payloads import ConnectionClosed

_BOUNDARIES = (1, 10, 60, 300, 600, 1_200, 3_600, 21_600, 86_400)


class Calls:
    """The calls, on providers that are set up as the service's.

    The SDK's self-metrics are on, the queue of log records is longer than by default, and sums
    have no exemplars. The payload is checked, once, and the line has the keys that ours has.

    What ours does beyond the calls: it checks the envelope, isolates and counts each sink, writes
    the line without waiting, and keeps a history of the stream.

    Args:
        descriptor: Where the JSON lines go.
    """

    def __init__(self, descriptor: int) -> None:
        os.environ["OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"] = "true"
        meters = MeterProvider(
            [PeriodicExportingMetricReader(OTLPMetricExporter())],
            views=[View(instrument_type=Counter, exemplar_reservoir_factory=_no_exemplars)],
        )
        spans = TracerProvider(meter_provider=meters)
        spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(meter_provider=meters)))
        logs = LoggerProvider(meter_provider=meters)
        exporter = OTLPLogExporter(meter_provider=meters)
        logs.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=8_192))
        self._providers = spans, logs, meters
        self.tracer = spans.get_tracer("bench")
        self._logger = logs.get_logger("bench")
        meter = self.meter = meters.get_meter("bench")
        self._emitted = meter.create_counter("charter.event.emitted", "{event}")
        self._duration = meter.create_histogram(
            "charter.connection.duration", "s", explicit_bucket_boundaries_advisory=_BOUNDARIES
        )
        self._line = _structlog(descriptor)
        self._queue: deque[bytes] = deque(maxlen=10_000)
        self._encode = msgspec.json.Encoder().encode

    def emit(self) -> None:
        """Make the calls of one event."""
        now = time.time_ns()
        span = get_current_span()
        trace_id = f"{span.get_span_context().trace_id:032x}"
        event_id = f"evt_telemetry_{now // 1_000_000:013d}_{secrets.token_hex(6)}"
        fields = payload()
        msgspec.convert(fields, ConnectionClosed)
        envelope = {
            "id": event_id,
            "type": EVENT_TYPE,
            "source": "telemetry_service",
            "target": None,
            "timestamp": now / 1e9,
            "payload": fields,
            "meta": {"correlation_id": trace_id, "version": "1.0"},
        }
        flat = attributes(event_id, now / 1e9, trace_id, fields)
        self._logger.emit(
            timestamp=now,
            observed_timestamp=now,
            severity_number=SeverityNumber.INFO,
            event_name=EVENT_TYPE,
            attributes=flat,
        )
        span.add_event(EVENT_TYPE, flat, now)
        self._emitted.add(1, {"charter.event.type": EVENT_TYPE})
        self._duration.record(
            fields["duration_seconds"], {"charter.connection.close_reason": fields["reason"]}
        )
        self._line.info(EVENT_TYPE, charter=envelope)
        self._queue.append(self._encode(envelope))

    def flush(self) -> None:
        """Export spans and records that wait."""
        spans, logs, _ = self._providers
        spans.force_flush()
        logs.force_flush()

    def shutdown(self) -> None:
        """Release the providers."""
        for provider in self._providers:
            provider.shutdown()


class _NoExemplars(ExemplarReservoir):
    """Keeps none."""

    def offer(self, *_: object) -> None:
        """Take none."""

    def collect(self, _: object) -> list[Any]:
        """Return none."""
        return []


def _no_exemplars(_: object) -> Callable[..., ExemplarReservoir]:
    return _NoExemplars


def _structlog(descriptor: int) -> structlog.typing.FilteringBoundLogger:
    encoder = msgspec.json.Encoder()

    def render(_: WrappedLogger, __: str, event_dict: EventDict) -> bytes:
        return encoder.encode(event_dict)

    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.BytesLogger(os.fdopen(os.dup(descriptor), "wb")),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=True,
    ).bind()
    return logger


def _add_trace(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    context = get_current_span().get_span_context()
    event_dict["logger"] = event_dict["service.name"] = "bench"
    event_dict["trace_id"] = f"{context.trace_id:032x}"
    event_dict["span_id"] = f"{context.span_id:016x}"
    event_dict["trace_flags"] = f"{context.trace_flags:02x}"
    return event_dict
