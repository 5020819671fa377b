"""Strangers who connect and say nothing: robots and probes notice nothing of them."""

import asyncio
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from websockets.sync.client import connect

from charter_otel.otel import semconv
from charter_otel.server import timeouts
from charter_otel.server.server import EmbeddedServer, configure
from charter_otel.service import process_metrics
from charter_otel.service.process_metrics import no_more_files
from charter_otel.service.settings import Settings
from charter_otel.telemetry.pending_handshakes import (
    REFUSED,
    HandshakeLimits,
    PendingHandshakes,
    handshake_limits,
)
from charter_otel.testing import Capture
from support.certificates import make_certificate
from support.polling import eventually, wait_until
from support.robots import READING
from support.service import ServiceProcess, service, service_with_files

FILES = 600
"""Files that the service may have open; it keeps the last hundred."""
PATH = "/api/telemetry/ws"


def _enter(pending: PendingHandshakes, address: str, count: int, connections: int = 0) -> int:
    """Let an address come so many times, and return how often it was let in."""
    return sum(pending.enter(address, connections) is not None for _ in range(count))


def test_an_address_has_half_of_the_places() -> None:
    """The others have the rest, and then only those whom the service knows."""
    pending = PendingHandshakes(HandshakeLimits(files=10_000, strangers=20, address=10))
    assert _enter(pending, "192.0.2.1", 30) == 10
    assert _enter(pending, "192.0.2.2", 30) == 10
    assert _enter(pending, "192.0.2.3", 30) == 1  # the first of an address, as a probe is
    robot = pending.enter("192.0.2.4", 0)
    assert robot is not None
    robot.leave(accepted=True)
    assert _enter(pending, "192.0.2.4", 30) == 10
    assert len(pending) == 31


def test_the_networks_of_a_subscriber_are_one_address() -> None:
    """An IPv6 network has more addresses than the service has files."""
    pending = PendingHandshakes(HandshakeLimits(files=10_000, strangers=20, address=10))
    assert sum(_enter(pending, f"2001:db8::{n:x}", 1) for n in range(30)) == 10


def test_a_place_is_given_back_once() -> None:
    """Several may say that a connection ended; the first one counts."""
    pending = PendingHandshakes(HandshakeLimits(files=10_000, strangers=20, address=10))
    pending_handshake = pending.enter("192.0.2.1", 0)
    assert pending_handshake is not None
    pending_handshake.leave()
    pending_handshake.leave(accepted=True)
    assert len(pending) == 0
    assert _enter(pending, "192.0.2.1", 30) == 10


def test_the_last_files_are_kept() -> None:
    """Strangers stop first, then first connections, then addresses of robots."""
    pending = PendingHandshakes(HandshakeLimits(files=1_000, strangers=500, address=250))
    robot = pending.enter("192.0.2.4", 0)
    assert robot is not None
    robot.leave(accepted=True)
    assert _enter(pending, "192.0.2.1", 2, connections=899) == 2
    assert _enter(pending, "192.0.2.1", 2, connections=900) == 0
    assert _enter(pending, "192.0.2.2", 2, connections=949) == 1
    assert _enter(pending, "192.0.2.4", 2, connections=974) == 2
    assert _enter(pending, "192.0.2.4", 2, connections=975) == 0


def test_the_limits_follow_from_the_open_files() -> None:
    """A quarter of them, ten thousand at most."""
    assert handshake_limits(1_024) == HandshakeLimits(1_024, 256, 128)
    assert handshake_limits(1_048_576) == HandshakeLimits(1_048_576, 10_000, 5_000)


def test_refusals_are_counted_and_said_now_and_then(charter_capture: Capture) -> None:
    """A line of its own for each would be a flood, too."""
    before = REFUSED["address"]
    pending = PendingHandshakes(HandshakeLimits(files=10_000, strangers=20, address=10))
    _enter(pending, "192.0.2.1", 100)
    assert REFUSED["address"] - before == 90
    [line] = [each for each in charter_capture.lines if "refused before" in each["event"]]
    assert (line["reason"], line["strangers"]) == ("address", 10)


@pytest.fixture(scope="module")
def crowded() -> Iterator[ServiceProcess]:
    """Yield a service with few files, of which strangers hold as many as they get."""
    with service_with_files(FILES) as running, ExitStack() as strangers:
        host, port = running.websocket.removeprefix("ws://").split(":")
        for number in range(FILES):
            stranger = strangers.enter_context(socket.socket())
            stranger.bind((f"127.0.0.{2 + number % 4}", 0))
            stranger.connect((host, int(port)))
        wait_until(lambda: _said(running, "are refused before"), "strangers are refused")
        yield running


def test_a_robot_is_connected_among_strangers(crowded: ServiceProcess) -> None:
    """It comes, talks and goes, and the probe is answered."""
    with connect(f"{crowded.websocket}{PATH}/robot_1?ack=1", proxy=None) as robot:
        robot.send(READING)
        assert '"ack"' in str(robot.recv(timeout=10))
        assert crowded.get("/readyz")["status"] == "ready"


def test_a_service_without_files_says_so_and_goes_on() -> None:
    """The event loop tells nobody that it accepts nothing: a line does, and one when it is over."""
    with service() as running:
        pid = running.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with connect(f"{running.websocket}{PATH}/robot_1?ack=1", proxy=None) as robot:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
            wait_until(lambda: _said(running, "no more files"), "it is said")
            robot.send(READING)
            assert '"ack"' in str(robot.recv(timeout=10))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            wait_until(lambda: _said(running, "files can be opened again"), "it is over")
        assert running.answers


async def test_a_time_without_files_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what came meanwhile: the metric grows, and an alert goes by it."""

    def counted() -> float:
        return next(
            count
            for count, attributes in process_metrics._refused()
            if attributes[semconv.CHARTER_REFUSAL_REASON] == "descriptors"
        )

    before = counted()
    monkeypatch.setattr(process_metrics, "no_more_files", lambda: "Too many open files")
    monkeypatch.setattr(process_metrics, "FILES_EVERY", 0.0)
    metrics = process_metrics.ProcessMetrics()
    metrics.start()
    await eventually(lambda: counted() > before, "it is counted")
    await metrics.stop()


def _said(running: ServiceProcess, text: str) -> bool:
    return any(text in line["event"] for line in running.lines())


def test_files_that_can_be_opened_are_found() -> None:
    """The look leaves nothing open."""
    assert no_more_files() is None


async def test_a_tls_handshake_has_the_patience_of_headers(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that says nothing, or only begins, is counted from the start and dropped."""
    monkeypatch.setattr(timeouts, "HEADERS_WITHIN", 1.0)
    certificate = make_certificate(tmp_path_factory.mktemp("tls"))
    config = configure(_nothing, Settings())
    config.ssl_certfile, config.ssl_keyfile = map(str, certificate)
    config.lifespan = "off"
    server = EmbeddedServer(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve([listening]), name="server")
        await server.ready.wait()
        first: Any = config.http_protocol_class
        pending: PendingHandshakes = first.pending_handshakes
        with closing(socket.socket()) as silent, closing(socket.socket()) as slow:
            for client in (silent, slow):
                client.connect(listening.getsockname())
            slow.send(_hello(certificate.trusted)[:100])
            await eventually(lambda: len(pending) == 2, "both are counted")
            await eventually(lambda: len(pending) == 0, "both are gone", 10)
        server.should_exit = True
        await task


def _hello(trusted: ssl.SSLContext) -> bytes:
    """Return the first message of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusted.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def _nothing(scope: object, receive: object, send: object) -> None:
    """Be an application."""


async def test_one_connection_that_fails_to_shut_down_holds_up_no_other(
    charter_capture: Capture,
) -> None:
    """It is cut off, which is said, and the server ends."""
    config = configure(_nothing, Settings())
    config.lifespan = "off"
    server = EmbeddedServer(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve([listening]), name="server")
        await server.ready.wait()
        with closing(socket.socket()) as one, closing(socket.socket()) as other:
            for client in (one, other):
                client.connect(listening.getsockname())
            await eventually(lambda: len(server.server_state.connections) == 2, "both are there")
            server.server_state.connections.add(_Broken())  # type: ignore[arg-type]
            server.should_exit = True
            await asyncio.wait_for(task, 10)
            assert (one.recv(1), other.recv(1)) == (b"", b"")
    assert any("failed to shut down" in line["event"] for line in charter_capture.lines)


class _Broken:
    """A connection with a fault of its own."""

    class transport:  # noqa: N801 - as a protocol has it
        """Nothing to abort."""

        @staticmethod
        def abort() -> None:
            """Abort."""

    def shutdown(self) -> None:
        """Fail."""
        raise RuntimeError("told to fail")
