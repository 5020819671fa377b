"""A program of one's own under `uvicorn`, with the service's protocols."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support.polling import wait_until
from support.ports import free_port
from support.service import ServiceProcess
from support.strangers import upgrade

APP = """
from litestar import Litestar, WebSocket, websocket
from charter_otel import CharterPlugin

@websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        await socket.send({**message, "type": "websocket.send"})

app = Litestar([echo], plugins=[CharterPlugin()])
"""
PROTOCOLS = (
    "--http=charter_otel.server.protocols:HTTP",
    "--ws=charter_otel.server.protocols:WS",
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Yield an app of somebody's own, where robots may be silent for a second."""
    folder: Path = tmp_path_factory.mktemp("app")
    (folder / "own_app.py").write_text(APP)
    port, output = free_port(), folder / "stdout"
    ours = {"CHARTER_STATE_DIR": str(folder), "CHARTER_LOG_FORMAT": "json"}
    with output.open("wb") as stdout:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "own_app:app", f"--app-dir={folder}"),
                *(f"--port={port}", "--log-level=critical", *PROTOCOLS),
            ],
            stdout=stdout,
            env={**os.environ, **ours, "CHARTER_HEARTBEAT_TIMEOUT": "1"},
        )
    try:
        running = ServiceProcess(process, port, output)
        wait_until(lambda: running.answers or process.poll() is not None, "the app answers", 30)
        yield running
    finally:
        process.kill()
        process.wait()


def reasons(running: ServiceProcess, robot_id: str) -> list[str]:
    """Return the close reasons of a robot so far."""
    closed = [event["payload"] for event in running.events("telemetry.connection_closed")]
    return [str(payload["reason"]) for payload in closed if payload["robot_id"] == robot_id]


def test_pings_are_heartbeats(running: ServiceProcess) -> None:
    """A robot that only pings stays for longer than a silent one may."""
    robots = f"{running.websocket}/api/telemetry/ws"
    with (
        connect(f"{robots}/pings", ping_interval=None) as robot,
        connect(f"{robots}/silent", ping_interval=None),
    ):
        while not reasons(running, "silent"):
            assert robot.ping().wait(5)
            time.sleep(0.2)
        assert not reasons(running, "pings")
    wait_until(lambda: reasons(running, "pings"), "it is told of")
    assert reasons(running, "pings") == ["client_disconnect"]


@pytest.mark.parametrize(("code", "text"), [(1007, ""), (1002, "bye"), (1009, "bye")])
def test_a_robot_s_own_close_is_its_own(running: ServiceProcess, code: int, text: str) -> None:
    """Also with a code and a text as a server's parser has them."""
    with connect(f"{running.websocket}/api/telemetry/ws/own_{code}") as robot:
        robot.close(code, text)
    wait_until(lambda: reasons(running, f"own_{code}"), "it is told of")
    assert reasons(running, f"own_{code}") == ["client_disconnect"]


def test_a_path_without_a_websocket_is_said(running: ServiceProcess) -> None:
    """The answer names the right one."""
    answer = upgrade(running.http, "/api/telemetry/wrong")
    assert answer.status == 404
    assert b"/api/telemetry/ws/{robot_id}" in answer.body


@pytest.mark.parametrize("message", ["", "text", "ü" * 100_000, b"", b"\x00\xff" * 100_000])
def test_a_handler_of_one_s_own_gets_and_sends_messages(
    running: ServiceProcess, message: str | bytes
) -> None:
    """Text stays text and bytes stay bytes, whatever their length."""
    with connect(f"{running.websocket}/echo", compression=None) as client:
        client.send(message)
        assert client.recv(5) == message
