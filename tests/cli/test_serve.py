"""`charter-otel serve`."""

import json
import signal
import socket
from pathlib import Path

import pytest
from websockets.sync.client import connect

from cli.commands import called, run, serving
from support.ports import free_port


def test_sigterm_closes_the_connections_and_ends_with_0() -> None:
    """Every robot gets a close frame, every connection its event, and stdout is JSON lines."""
    with serving() as service:
        url = f"{service.websocket}/api/telemetry/ws/robot_001"
        with connect(url, proxy=None) as robot:
            robot.send('{"type":"ping"}')
            robot.recv(timeout=5)
            code, stdout, stderr = service.command.ends(signal.SIGTERM)
    assert code == 0, stderr
    lines = [json.loads(line) for line in stdout.splitlines()]
    closed = [line for line in lines if line["event"] == "telemetry.connection_closed"]
    assert [line["charter"]["payload"]["reason"] for line in closed] == ["server_shutdown"]
    assert {"timestamp", "level", "event", "logger", "service.name"} <= lines[-1].keys()


def test_ctrl_c_ends_with_0() -> None:
    """A person who stops the service sees no traceback."""
    with serving() as service:
        code, _, stderr = service.command.ends(signal.SIGINT)
    assert code == 0
    assert "Traceback" not in stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_other_addresses_need_a_secret(host: str) -> None:
    """Without one the service does not start, and the text says what to do."""
    ended = called("serve", "--host", host, "--port", str(free_port()))
    assert ended.returncode == 2
    assert "CHARTER_AUTH_SECRET" in ended.stderr
    assert "--insecure" in ended.stderr


def test_insecure_serves_any_address() -> None:
    """With the option, the service starts."""
    with serving("--host", "0.0.0.0", "--insecure") as service:  # noqa: S104
        assert service.alive


def test_a_secret_opens_any_address() -> None:
    """With a secret no flag is needed."""
    with serving("--host", "0.0.0.0", variables={"CHARTER_AUTH_SECRET": "s" * 32}) as service:  # noqa: S104
        assert service.alive


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CHARTER_AGGREGATION_INTERVAL", "soon"),
        ("CHARTER_MAX_FRAME_BYTES", "1"),
        ("CHARTER_LOG_FORMAT", "xml"),
        ("CHARTER_EVENT_STREAM", "kafka://localhost"),
        ("CHARTER_EVENT_STREAM", "redis://localhost:6379/zero"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_PROPAGATORS", "smoke"),
    ],
)
def test_a_wrong_setting_names_variable_and_value(variable: str, value: str) -> None:
    """The service does not start, and the text says what would be right."""
    ended = called("serve", "--port", str(free_port()), variables={variable: value})
    assert ended.returncode == 2
    assert variable in ended.stderr
    assert value in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_event_stream_is_said_without_its_secrets() -> None:
    """The text names the variable and what would be right, and repeats no password."""
    ended = called(
        *("serve", "--port", str(free_port())),
        variables={"CHARTER_EVENT_STREAM": "kafka://user:secret@localhost"},
    )
    assert ended.returncode == 2
    assert "CHARTER_EVENT_STREAM" in ended.stderr
    assert "kafka://***@localhost" in ended.stderr
    assert "redis://" in ended.stderr
    assert "secret" not in ended.stderr


def test_a_port_in_use_is_said() -> None:
    """The exit code is 1, and the text says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(port))
    assert ended.returncode == 1
    assert str(port) in ended.stderr
    assert "--port" in ended.stderr


def test_a_key_needs_its_certificate() -> None:
    """Half of what TLS needs is refused."""
    ended = called("serve", "--ssl-keyfile", __file__)
    assert ended.returncode == 2
    assert "--ssl-certfile" in ended.stderr


def test_a_certificate_that_is_none_is_said() -> None:
    """The service does not start, and nobody is told that it had."""
    ended = called("serve", "--port", "0", "--ssl-certfile", __file__)
    assert ended.returncode == 2
    assert __file__ in ended.stderr
    assert "PEM" in ended.stderr
    assert "Ctrl-C" not in ended.stderr


def test_an_audit_log_that_cannot_be_written_does_not_keep_the_service_from_starting(
    tmp_path: Path,
) -> None:
    """It serves robots and says in its log what is wrong, and where."""
    file = tmp_path / "file"
    file.touch()
    variables = {"CHARTER_STATE_DIR": str(file), "CHARTER_CONSUMERS": "audit"}
    with serving(variables=variables) as service:
        code, stdout, _ = service.command.ends(signal.SIGTERM)
    assert code == 0
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert any(line["event"] == "service started" for line in lines)
    assert any(str(file) in line.get("error", "") for line in lines if line["level"] == "warning")


def test_the_console_form_in_a_file_has_no_colours() -> None:
    """Colours are for terminals; a file is read with other tools."""
    with serving(variables={"CHARTER_LOG_FORMAT": "console"}) as service:
        code, stdout, _ = service.command.ends(signal.SIGTERM)
    assert code == 0
    assert "service started" in stdout
    assert "\x1b" not in stdout


def test_spans_on_the_console_leave_stdout_to_the_log() -> None:
    """The SDK's many printed lines stay away: stdout holds JSON objects, one a line."""
    variables = {"OTEL_TRACES_EXPORTER": "console", "CHARTER_AGGREGATION_INTERVAL": "0.2"}
    with serving(variables=variables) as service:
        code, stdout, stderr = service.command.ends(signal.SIGTERM)
    assert code == 0
    assert all(json.loads(line)["event"] for line in stdout.splitlines())
    assert '"name": "charter.job.run"' in stderr


def test_a_reader_of_the_event_stream_does_not_hold_up_the_end() -> None:
    """A connection that never ends by itself is ended."""
    with serving() as service, socket.create_connection(("127.0.0.1", service.port)) as reader:
        reader.sendall(b"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader.settimeout(5)
        assert reader.recv(100).startswith(b"HTTP/1.1 200")
        code, _, _ = service.command.ends(signal.SIGTERM, within=10)
    assert code == 0
