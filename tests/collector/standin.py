"""A stand-in for a vendor: an HTTP server on loopback that keeps what the Collector sends."""

import gzip
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.loopback import LoopbackServer

Message = ExportLogsServiceRequest | ExportMetricsServiceRequest | ExportTraceServiceRequest

_MESSAGES: dict[str, type[Message]] = {
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "datapoint": ExportMetricsServiceRequest,
    "trace": ExportTraceServiceRequest,
}


@dataclass(frozen=True)
class Request:
    """One request that arrived: where, with which headers, holding what."""

    path: str
    headers: dict[str, str]
    message: Message


@dataclass
class StandIn(LoopbackServer):
    """The server; a context manager. While ``refuse`` is set it answers 503 and keeps nothing."""

    refuse: bool = False
    refused: int = 0
    requests: list[Request] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the class that answers requests."""
        return _handler(self)

    @property
    def url(self) -> str:
        """The server's base address."""
        return f"http://{self.address}"

    def records(self) -> list[LogRecord]:
        """Return every log record that arrived."""
        return [
            record
            for request in list(self.requests)
            if isinstance(request.message, ExportLogsServiceRequest)
            for resource in request.message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def spans(self) -> list[Span]:
        """Return every span that arrived."""
        return [
            span
            for request in list(self.requests)
            if isinstance(request.message, ExportTraceServiceRequest)
            for resource in request.message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> list[Metric]:
        """Return every metric that arrived."""
        return [
            metric
            for request in list(self.requests)
            if isinstance(request.message, ExportMetricsServiceRequest)
            for resource in request.message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]


def _handler(standin: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if standin.refuse:
                standin.refused += 1
                self.answer(503)
                return
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            kind = next(kind for word, kind in _MESSAGES.items() if word in self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            message = kind.FromString(body)
            standin.requests.append(Request(self.path, headers, message))
            self.answer(200)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: the test says what is wrong."""

    return Handler
