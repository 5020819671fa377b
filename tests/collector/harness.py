"""Runs the project's Collector in a test, and talks to it."""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.standin import Message
from support.http import LOCAL
from support.polling import wait_until
from support.ports import free_port

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "collector"
VENDORS = sorted(path.stem for path in (CONFIGS / "vendors").glob("*.yaml"))

Value = str | int | float | list[str]


class Collector:
    """One Collector process with its own ports and state directory; a context manager.

    Args:
        binary: The Collector.
        directory: Where its state and its output go.
        configs: File names below `collector/`, in the order of `--config`.
        env: The variables that the configurations read.
    """

    def __init__(self, binary: Path, directory: Path, *configs: str, **env: str) -> None:
        grpc, http, prometheus, health, telemetry = (free_port() for _ in range(5))
        self.grpc = f"127.0.0.1:{grpc}"
        self.http = f"http://127.0.0.1:{http}"
        self.prometheus = f"http://127.0.0.1:{prometheus}/metrics"
        self.telemetry = f"http://127.0.0.1:{telemetry}/metrics"
        self._health = f"http://127.0.0.1:{health}"
        self._log = directory / "collector.log"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(timeout=30)
        self._command = [str(binary)]
        self._arguments = [f"--config={CONFIGS / name}" for name in configs]
        self._env = {
            "CHARTER_COLLECTOR_GRPC_ENDPOINT": self.grpc,
            "CHARTER_COLLECTOR_HTTP_ENDPOINT": f"127.0.0.1:{http}",
            "CHARTER_COLLECTOR_PROMETHEUS_ENDPOINT": f"127.0.0.1:{prometheus}",
            "CHARTER_COLLECTOR_HEALTH_ENDPOINT": f"127.0.0.1:{health}",
            "CHARTER_COLLECTOR_TELEMETRY_PORT": str(telemetry),
            "CHARTER_COLLECTOR_DIR": str(directory / "state"),
            **env,
        }

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, by force if it does not stop by itself."""
        self._client.close()
        process = self._process
        if process:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Return what it printed so far, over all its starts."""
        return self._log.read_text()

    def validate(self) -> None:
        """Check the configuration without starting it."""
        done = subprocess.run(
            [*self._command, "validate", *self._arguments],
            env=self._env,
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start the process and wait until it says that it is healthy."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, *self._arguments],
                env=self._env,
                cwd=self._directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._healthy, "the Collector is healthy")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End the process with SIGKILL: it gets no chance to save anything."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send(self, *messages: LogRecord | Span, **resource: Value) -> None:
        """Send log records and spans by OTLP over HTTP; each call is one request per signal."""
        logs, traces = ExportLogsServiceRequest(), ExportTraceServiceRequest()
        log_scope = logs.resource_logs.add().scope_logs.add()
        span_scope = traces.resource_spans.add().scope_spans.add()
        logs.resource_logs[0].resource.attributes.extend(attributes(resource))
        traces.resource_spans[0].resource.attributes.extend(attributes(resource))
        for message in messages:
            if isinstance(message, Span):
                span_scope.spans.append(message)
            else:
                log_scope.log_records.append(message)
        if log_scope.log_records:
            self.post("logs", logs)
        if span_scope.spans:
            self.post("traces", traces)

    def post(self, signal: str, message: Message) -> None:
        """Send one OTLP request; fail when the Collector does not take it."""
        answer = self._client.post(
            f"{self.http}/v1/{signal}",
            content=message.SerializeToString(),
            headers={"Content-Type": "application/x-protobuf"},
        )
        assert answer.status_code == httpx.codes.OK, answer.text

    def _healthy(self) -> bool:
        assert self._process
        assert self._process.poll() is None, f"the Collector ended:\n{self.log[-3000:]}"
        with contextlib.suppress(httpx.TransportError):
            return LOCAL.get(self._health).status_code == httpx.codes.OK
        return False


def attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    """Return a mapping as OTLP attributes."""
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def plain(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    """Return OTLP attributes as a mapping; lists become lists of strings."""
    result: dict[str, Value] = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        assert kind, f"{pair.key} has no value"
        value = getattr(pair.value, kind)
        result[pair.key] = (
            [item.string_value for item in value.values] if kind == "array_value" else value
        )
    return result


def span(
    name: str = "work",
    *,
    trace_id: bytes = b"",
    error: str | None = None,
    values: Mapping[str, Value] | None = None,
) -> Span:
    """Make a finished span; ``error`` is the text of its error status."""
    made = Span(
        name=name,
        trace_id=trace_id or os.urandom(16),
        span_id=os.urandom(8),
        start_time_unix_nano=1_703_001_234_000_000_000,
        end_time_unix_nano=1_703_001_235_000_000_000,
        attributes=attributes(values or {}),
    )
    if error is not None:
        made.status.code = 2  # type: ignore[assignment]
        made.status.message = error
    return made


def _any(value: Value) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
    made = AnyValue()
    made.array_value.values.extend(AnyValue(string_value=item) for item in value)
    return made
