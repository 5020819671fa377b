"""The Collector goes and comes: a line each, and no answer that it gives keeps an export."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import grpc  # type: ignore[import-untyped]
import pytest
import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from charter_otel.otel.sdk import exporters
from charter_otel.otel.sdk.batching import BatchSpans
from charter_otel.otel.sdk.bounded_session import BoundedSession
from charter_otel.otel.sdk.collector_link import LINK, CollectorLink
from charter_otel.testing import Capture

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def collector(answer: Callable[[socket.socket], None], port: int = 0) -> Iterator[int]:
    """Run a Collector that answers each request as it is told."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_a_link_has_no_state_before_the_providers_are_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that brings its own providers tells of its Collector itself."""
    monkeypatch.setattr("charter_otel.otel.sdk.collector_link._SDK_LOGGERS", ())
    assert CollectorLink().state is None


def test_one_line_when_it_goes_and_one_when_it_is_back(
    charter_capture: Capture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With how long it was away and what was dropped; the SDK's own lines are not written."""
    # It is the process's: another test's exports may have failed last.
    monkeypatch.setattr(LINK, "_failing", {})
    monkeypatch.setattr(LINK, "_dropped", 0)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    exporter = exporters.span_exporter()
    assert exporter is not None
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpans(exporter, meter_provider=charter_capture.instrumentation.providers[1])  # type: ignore[arg-type]
    )

    def export() -> None:
        provider.get_tracer("test").start_span("one").end()
        provider.force_flush(10_000)

    for _ in range(3):
        export()
    [gone] = [line for line in charter_capture.lines if "takes no telemetry" in line["event"]]
    assert "refused" in gone["error"]
    with collector(lambda connection: connection.sendall(OK), port):
        export()
    [back] = [line for line in charter_capture.lines if "takes telemetry again" in line["event"]]
    assert back["dropped"] == 3
    assert back["seconds"] >= 0
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []
    provider.shutdown()


def test_an_attempt_that_has_no_time_left_says_why_it_failed() -> None:
    """The Collector is away: nobody is told of a timeout of 0 s."""
    with (
        BoundedSession() as session,
        pytest.raises(requests.ConnectionError, match="refused"),
    ):
        session.post("http://127.0.0.1:9/", timeout=0.0)


def test_a_signal_with_nothing_to_send_says_nothing_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A minute after its last failure, the metrics that arrive tell that the Collector is back."""
    clock = [0.0]
    monkeypatch.setattr("charter_otel.otel.sdk.collector_link._SDK_LOGGERS", ())
    stopped = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr("charter_otel.otel.sdk.collector_link.time", stopped)
    link = CollectorLink()
    link.watching = True
    outcome = SpanExportResult.FAILURE
    spans, metrics = (link.watch(name, lambda _: outcome) for name in ("traces", "metrics"))
    spans([object()])
    outcome = SpanExportResult.SUCCESS
    for now, failing in [(59.0, True), (60.0, False)]:
        clock[0] = now
        metrics(object())
        assert _fails(link) is failing
    outcome = SpanExportResult.FAILURE
    spans([object()])
    outcome = SpanExportResult.SUCCESS
    clock[0] = 300.0
    metrics(object())
    assert _fails(link), "a signal that fails again is refused by itself"
    spans([object()])
    assert not _fails(link)


def _fails(link: CollectorLink) -> bool:
    assert link.state is not None
    return link.state.error is not None


def test_a_redirect_is_a_failure_that_names_where_to() -> None:
    """The SDK would take it for success, and everything would be lost without a word."""

    def redirect(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://otel.test/v1/traces?key=secret\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    with collector(redirect) as port:
        session = BoundedSession()
        with pytest.raises(requests.RequestException, match=r"308.*https://otel\.test") as raised:
            session.request("POST", f"http://127.0.0.1:{port}", timeout=3, allow_redirects=False)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("piece", "least", "most"),
    [(b"x" * 65_536, 65_536, 65_536), (b"x", 1, 60)],
    ids=["endless", "dripping"],
)
def test_an_answer_without_an_end_is_cut_off(piece: bytes, least: int, most: int) -> None:
    """By size and by time; its status is there, and nothing else of it is needed."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(10_000):
            connection.sendall(piece)
            time.sleep(0.05 if len(piece) == 1 else 0)

    with collector(drip) as port:
        begun = time.monotonic()
        response = BoundedSession().request(
            "POST", f"http://127.0.0.1:{port}", timeout=0.5, allow_redirects=False
        )
        assert time.monotonic() - begun < 3
    assert response.status_code == 200
    assert least <= len(response.content) <= most


def test_a_head_that_drips_is_cut_off() -> None:
    """The timeout holds for the whole answer, and not for each of its bytes."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.05)

    with collector(drip) as port:
        begun = time.monotonic()
        with pytest.raises(requests.Timeout):
            BoundedSession().request(
                "POST", f"http://127.0.0.1:{port}", timeout=0.5, allow_redirects=False
            )
        assert time.monotonic() - begun < 3


def test_a_grpc_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Collector that answers with a mebibyte fails the export, and fills no memory."""
    answers = iter([b"", b"\x0a\x02\x12\x00" + b"\x0a\x04\x12\x02ab" * 200_000])
    handler = grpc.unary_unary_rpc_method_handler(lambda _, __: next(answers))
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    exporter = exporters.span_exporter()
    assert exporter is not None
    outcomes = [exporter.export([]) for _ in range(2)]
    exporter.shutdown()
    server.stop(0)
    assert outcomes == [SpanExportResult.SUCCESS, SpanExportResult.FAILURE]
