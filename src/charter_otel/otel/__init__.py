"""OpenTelemetry's view of the events: records, span events, instruments, providers, log lines.

Not to be confused with `charter_otel.metrics` (missions) and `charter_otel.telemetry` (robots).
"""

from charter_otel.otel.instrumentation import Instrumentation
from charter_otel.otel.lines.configure import configure_logs
from charter_otel.otel.messaging import StreamTelemetry
from charter_otel.otel.sdk.providers import Providers, build
from charter_otel.otel.span_events import EventToSpanEventBridge

__all__ = [
    "EventToSpanEventBridge",
    "Instrumentation",
    "Providers",
    "StreamTelemetry",
    "build",
    "configure_logs",
]
