"""The SDK's own exporters send what was written in one pass, over both transports."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext
from structlog.testing import capture_logs

from charter_otel.otel.sdk import exporters
from charter_otel.otel.sdk.otlp import install
from support.otlp import Received, attributes, receiving


@contextmanager
def receiving_grpc() -> Iterator[Received]:
    """Run a receiver of OTLP over gRPC on a free loopback port."""
    received = Received()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, _: Any) -> ExportTraceServiceResponse:  # noqa: N802 - its name
            received.requests.append(("/v1/traces", request))
            return ExportTraceServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, _: Any) -> ExportLogsServiceResponse:  # noqa: N802 - its name
            received.requests.append(("/v1/logs", request))
            return ExportLogsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    traces: Any = trace_service_pb2_grpc
    traces.add_TraceServiceServicer_to_server(Traces(), server)
    logs: Any = logs_service_pb2_grpc
    logs.add_LogsServiceServicer_to_server(Logs(), server)
    received.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait()


RECEIVERS = {"http/protobuf": receiving, "grpc": receiving_grpc}


@pytest.mark.parametrize("protocol", RECEIVERS)
def test_both_transports_carry_it(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver gets spans and records whole, and none of the bytes is the SDK's encoder's."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    with RECEIVERS[protocol]() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        spans, logs = exporters.span_exporter(), exporters.log_exporter()
        assert spans
        assert logs
        tracer, logger = TracerProvider(), LoggerProvider()
        tracer.add_span_processor(SimpleSpanProcessor(spans))
        logger.add_log_record_processor(SimpleLogRecordProcessor(logs))
        with tracer.get_tracer("a").start_as_current_span("work", attributes={"robot": "é"}):
            logger.get_logger("b").emit(event_name="a.b", attributes={"n": 1})
        [span], [record] = received.spans, received.log_records
        assert (span.name, attributes(span.attributes)) == ("work", {"robot": "é"})
        assert (record.event_name, record.trace_id) == ("a.b", span.trace_id)
        tracer.shutdown()
        logger.shutdown()


@pytest.mark.parametrize("protocol", RECEIVERS)
def test_the_sdk_s_encoder_is_not_asked_for_usual_items(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 50 spans of one scope, the SDK's encoder writes the first."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    asked: list[int] = []
    by_sdk = install.SPANS._by_sdk

    def counted(batch: Any) -> Any:
        asked.append(len(batch))
        return by_sdk(batch)

    monkeypatch.setattr(install.SPANS, "_by_sdk", counted)
    with RECEIVERS[protocol]() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        exporter = exporters.span_exporter()
        assert exporter
        made = [ReadableSpan(f"{n}", SpanContext(1, n + 1, is_remote=False)) for n in range(50)]
        assert exporter.export(made) is SpanExportResult.SUCCESS
        assert [span.name for span in received.spans] == [f"{n}" for n in range(50)]
        exporter.shutdown()
    assert asked == [1]


def test_exporters_of_the_program_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another exporter of the same class still asks the SDK's encoder alone."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    before = dict(vars(OTLPSpanExporter))
    exporters.span_exporter()
    other = OTLPSpanExporter()
    assert dict(vars(OTLPSpanExporter)) == before
    assert "export" not in vars(other)
    assert other.export.__func__.__globals__["encode_spans"] is install.encode_spans  # type: ignore[attr-defined]


def test_an_sdk_that_is_not_known_encodes_by_itself() -> None:
    """An exporter that is laid out in another way stays, and one line says so."""

    class Other(OTLPSpanExporter):
        def export(self, _: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    exporter = Other("http://127.0.0.1:9")
    with capture_logs() as lines:
        install.install(exporter, "traces")
    assert "export" not in vars(exporter)
    assert [line["log_level"] for line in lines] == ["warning"]
    assert "does not call encode_spans" in lines[0]["reason"]


def test_other_bytes_are_noticed_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the SDK writes other bytes than these, its own encoder is used."""
    monkeypatch.setattr(install, "record", lambda _: b"")
    exporter = OTLPSpanExporter("http://127.0.0.1:9")
    with capture_logs() as lines:
        install.install(exporter, "traces")
    assert "export" not in vars(exporter)
    assert [line["reason"] for line in lines] == ["its encoder writes other bytes"]
