"""The exporter of each signal, as the standard variables choose it; imported on demand."""

import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, get_args

from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from charter_otel.otel.sdk.collector_link import LINK

Signal = Literal["traces", "metrics", "logs"]

TIMEOUT = 3.0
"""Seconds that one export takes at most, retries included, unless a variable says otherwise."""

LARGEST_MESSAGE = 65_536
"""Bytes of a gRPC response; a larger one fails the export, where the default is 4 MiB."""

_FIRST_MILLISECONDS = 100
"""From this number on, a timeout is in milliseconds."""

_EXPORTERS = ("otlp", "console", "none")
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Protocol -> name of the exporter's entry point."""


def span_exporter(meter_provider: MeterProvider | None = None) -> SpanExporter | None:
    """Return the exporter of spans, which has metrics of its own, or None if none is asked for."""
    exporter: SpanExporter | None = _exporter("traces", meter_provider)
    return exporter


def metric_exporter() -> MetricExporter | None:
    """Return the exporter of metrics, or None if none is asked for."""
    exporter: MetricExporter | None = _exporter("metrics")
    return exporter


def log_exporter(meter_provider: MeterProvider | None = None) -> LogRecordExporter | None:
    """Return the exporter of log records, or None, in the same way as `span_exporter`."""
    exporter: LogRecordExporter | None = _exporter("logs", meter_provider)
    return exporter


def traces_wanted() -> bool:
    """Return whether spans are exported."""
    return _wanted("traces") != "none"


def otlp_wanted() -> bool:
    """Return whether any signal is exported to a Collector."""
    return any(_wanted(signal) == "otlp" for signal in get_args(Signal))


def check(signal: Signal) -> None:
    """Check the exporter and the protocol that the variables name for a signal.

    Raises:
        ValueError: There is none of that name; the text lists the valid ones.
    """
    wanted = _wanted(signal)
    if wanted not in _EXPORTERS:
        raise ValueError(
            f"OTEL_{signal.upper()}_EXPORTER={wanted!r} is unknown; use otlp, console or none"
        )
    if wanted == "otlp":
        _transport(signal)


def _exporter(signal: Signal, meter_provider: MeterProvider | None = None) -> Any:
    check(signal)
    wanted = _wanted(signal)
    if wanted == "none":
        return None
    if wanted == "console":
        # stdout belongs to the log pipeline: one JSON object a line, and nothing else.
        return _load(signal, "console")(out=sys.stderr)
    transport = _transport(signal)
    exporter = _load(signal, transport)
    options: dict[str, Any] = {"meter_provider": meter_provider} if meter_provider else {}
    if transport == _PROTOCOLS["http/protobuf"] and not _has_credentials(signal):
        # Imported here, because it imports requests, which `import charter_otel` must not.
        session = import_module("charter_otel.otel.sdk.bounded_session")
        options["session"] = session.BoundedSession()
    else:
        options["channel_options"] = (("grpc.max_receive_message_length", LARGEST_MESSAGE),)
    made = exporter(timeout=_timeout(signal), **options)
    if signal != "metrics":
        # Imported here, because it imports protobuf.
        import_module("charter_otel.otel.sdk.otlp.install").install(made, signal)
    made.export = LINK.watch(signal, made.export)
    return made


def _load(signal: Signal, name: str) -> Any:
    """Return the class of an exporter by its entry point, as the SDK's own configuration does."""
    [found] = entry_points(group=f"opentelemetry_{signal}_exporter", name=name)
    return found.load()


def _wanted(signal: Signal) -> str:
    """Return the name of a signal's exporter; if no variable names one, an endpoint means OTLP."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    named = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
    endpoint = variable(signal, "ENDPOINT")
    return named or ("otlp" if endpoint else "none")


def _transport(signal: Signal) -> str:
    protocol = variable(signal, "PROTOCOL") or "http/protobuf"
    if protocol not in _PROTOCOLS:
        known = " or ".join(_PROTOCOLS)
        raise ValueError(
            f"{source(signal, 'PROTOCOL')}={protocol!r} is unknown for {signal}; use {known}"
        )
    return _PROTOCOLS[protocol]


def _timeout(signal: Signal) -> float:
    """Return the seconds of an export; the standard has milliseconds, the SDK documents seconds.

    No export waits for minutes, and none ends within a tenth of a second: so the number shows
    its unit.
    """
    given = float(variable(signal, "TIMEOUT") or TIMEOUT)
    return given / 1000 if given >= _FIRST_MILLISECONDS else given


def _has_credentials(signal: Signal) -> bool:
    """Return whether a session of a credential provider's sends the requests."""
    names = (f"{part}CREDENTIAL_PROVIDER" for part in ("", f"{signal.upper()}_"))
    return any(os.environ.get(f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{name}") for name in names)


def variable(signal: Signal, name: str) -> str:
    """Return an exporter's variable for a signal, or the variable for all signals."""
    return os.environ.get(source(signal, name), "")


def source(signal: Signal, name: str) -> str:
    """Return the name of the variable that decides: the signal's, if it is set."""
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}"
    return own if os.environ.get(own) else f"OTEL_EXPORTER_OTLP_{name}"
