"""The way in which the SDK's OTLP exporters get these bytes; imported on demand.

Only the given exporter changes. The SDK's modules and classes stay as they are, and so does what
a program's own exporters see.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal

import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue

from charter_otel.otel.sdk.otlp.batches import Encoded, Encoder
from charter_otel.otel.sdk.otlp.records import record
from charter_otel.otel.sdk.otlp.spans import span
from charter_otel.otel.sdk.otlp.wire import UNUSUAL

log = structlog.get_logger(__name__)

SPANS = Encoder("spans", "resource_spans", encode_spans, span)
"""Writes a batch of spans."""

RECORDS = Encoder("log_records", "resource_logs", encode_logs, record)
"""Writes a batch of log records."""


def install(exporter: Any, signal: Literal["traces", "logs"]) -> None:
    """Make an exporter of the SDK write its bytes in one pass.

    If the SDK is not the one that this was written for, the exporter stays as it is. A line in the
    log says so.
    """
    name, encoder = ("encode_spans", SPANS) if signal == "traces" else ("encode_logs", RECORDS)
    try:
        if _agree():
            _replace(exporter, name, encoder)
            return
        reason = "its encoder writes other bytes"
    except UNUSUAL as error:
        reason = f"{type(error).__name__}: {error}"
    log.warning("the SDK's own encoder writes OTLP, which takes longer", reason=reason)


def _replace(exporter: Any, name: str, encoder: Encoder) -> None:
    if hasattr(exporter, "_translate_data"):
        stub, channel = exporter._stub, exporter._channel  # noqa: SLF001
        exporter._client = stub(_Channel(channel))  # noqa: SLF001
        exporter._stub = lambda renewed: stub(_Channel(renewed))  # noqa: SLF001
        exporter._translate_data = encoder  # noqa: SLF001
        return
    export = type(exporter).export
    if name not in export.__code__.co_names:
        raise AttributeError(f"the exporter's export does not call {name}")
    exporter.export = _with_global(export, name, encoder).__get__(exporter)


def _with_global(function: Any, name: str, value: object) -> FunctionType:
    """Return a function that finds another value under the name of one of its globals."""
    replaced = FunctionType(
        function.__code__,
        {**function.__globals__, name: value},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    replaced.__kwdefaults__ = function.__kwdefaults__
    return replaced


class _Channel:
    """A gRPC channel, for which a request is bytes already."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def unary_unary(
        self, method: str, request_serializer: Callable[..., bytes], **options: Any
    ) -> Any:
        del request_serializer
        return self._channel.unary_unary(
            method, request_serializer=Encoded.SerializeToString, **options
        )


def _agree() -> bool:
    """Return whether a span and a record with all fields have the bytes of the SDK's encoder."""
    context = SpanContext(1 << 127, 1 << 63, is_remote=True)
    attributes: dict[str, AnyValue] = {"text": "é", "long": "x" * 200, "number": -1, "ratio": 0.5}
    attributes["truth"] = True
    resource, scope = Resource({"service.name": "charter-otel"}), InstrumentationScope("scope", "1")
    made = ReadableSpan(
        "name",
        context,
        context,
        resource,
        attributes,
        (Event("event", attributes, 1),),
        (Link(context, attributes),),
        SpanKind.SERVER,
        status=Status(StatusCode.ERROR, "description"),
        start_time=1,
        end_time=2,
        instrumentation_scope=scope,
    )
    written = LogRecord(
        timestamp=1,
        observed_timestamp=2,
        severity_text="INFO",
        severity_number=SeverityNumber.INFO,
        body="body",
        attributes=attributes,
        event_name="name",
    )
    written.trace_id, written.span_id = context.trace_id, context.span_id
    readable = ReadableLogRecord(written, resource, scope)
    return _written(encode_spans([made]).resource_spans[0].scope_spans[0].spans[0]) == span(
        made
    ) and _written(encode_logs([readable]).resource_logs[0].scope_logs[0].log_records[0]) == record(
        readable
    )


def _written(message: Any) -> bytes:
    data: bytes = message.SerializePartialToString()
    return data
