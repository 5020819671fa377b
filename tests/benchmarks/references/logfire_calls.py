"""One event by `logfire.info`, exported to the same receiver as ours, and to nobody's cloud."""

import secrets
import time

import logfire
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.events import EVENT_TYPE, attributes, payload


class LogfireCalls:
    """logfire with its defaults, but for console and cloud."""

    def __init__(self) -> None:
        logfire.configure(
            send_to_logfire=False,
            console=False,
            inspect_arguments=False,
            additional_span_processors=[BatchSpanProcessor(OTLPSpanExporter())],
            metrics=False,
        )

    def emit(self) -> None:
        """Emit one event."""
        now = time.time_ns()
        event_id = f"evt_telemetry_{now // 1_000_000:013d}_{secrets.token_hex(6)}"
        logfire.info(EVENT_TYPE, **attributes(event_id, now / 1e9, "0" * 32, payload()))

    def flush(self) -> None:
        """Export what waits."""
        logfire.force_flush()

    def shutdown(self) -> None:
        """Release what logfire holds."""
        logfire.shutdown()
