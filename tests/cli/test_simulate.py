"""`charter-otel simulate`, against the service."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from charter_otel.charter import is_simulated
from cli.commands import Service, called, run_on_terminal, running, serving
from support.certificates import make_certificate
from support.polling import wait_until
from support.ports import free_port


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A running service."""
    with serving() as service:
        yield service


def all_connected(service: Service, robots: int) -> None:
    """Wait until that many robots are connected."""
    wait_until(
        lambda: service.get("/api/telemetry/info")["active_connections"] == robots, "connected", 20
    )


def test_the_result_is_one_json_object(service: Service) -> None:
    """Connected, sent, acknowledged, errors and the percentiles of the round trip."""
    ended = called("simulate", "--url", service.websocket, "--robots=20", "--hz=10", "--seconds=1")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["connected"] == result["robots"] == 20
    assert result["frames_sent"] == result["frames_acknowledged"] > 100
    assert result["errors"] == 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]


def test_the_service_has_the_last_readings(service: Service) -> None:
    """The robots of the fleet are the service's robots, gone when the fleet is."""
    called("simulate", "--url", service.websocket, "--robots=2", "--hz=10", "--seconds=0.5")
    metrics = service.get("/api/telemetry/robots/robot_002/metrics")
    assert 0 <= metrics["battery_percentage"] <= 100
    presence = {robot["robot_id"]: robot for robot in service.get("/api/telemetry/robots")}
    assert presence["robot_002"]["last_reason"] == "client_disconnect"
    assert is_simulated(presence["robot_002"]["connection_id"])


def test_without_acknowledgements_pings_are_sent(service: Service) -> None:
    """The round trip is known all the same."""
    ended = called(
        "simulate", "--url", service.websocket, "--robots=2", "--no-ack", "--seconds=0.5"
    )
    result = json.loads(ended.stdout)
    assert result["frames_acknowledged"] is None
    assert result["latency_ms"]["p50"] > 0


def test_missions_are_posted(service: Service) -> None:
    """They go to the same service over HTTP."""
    ended = called(
        *("simulate", "--url", service.websocket, "--robots=2", "--seconds=1"),
        "--missions-per-second=20",
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["missions_posted"] > 10


def test_on_a_terminal_the_result_is_in_words(service: Service) -> None:
    """There is a progress bar, and then a line that a person reads."""
    code, screen = run_on_terminal(
        "simulate", "--url", service.websocket, "--robots=3", "--hz=5", "--seconds=1"
    )
    assert code == 0
    assert "3/3 connected" in screen
    assert "3 of 3 robots connected" in screen
    assert "latency p50" in screen


def test_an_interrupt_ends_the_fleet_early(service: Service) -> None:
    """The robots leave in order, and the result tells what there was."""
    url = service.websocket
    with running("simulate", "--url", url, "--robots=3", "--hz=5", "--seconds=60") as command:
        all_connected(service, 3)
        code, stdout, stderr = command.ends(signal.SIGINT)
    assert code == 0, stderr
    assert json.loads(stdout)["connected"] == 3


def test_nobody_there_is_a_failure_that_says_what_to_do() -> None:
    """The exit code is 1, and the text names the address and the command to start."""
    port = free_port()
    ended = called("simulate", "--url", f"ws://127.0.0.1:{port}", "--robots=2", "--seconds=0.5")
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["connected"] == 0
    assert str(port) in ended.stderr
    assert "charter-otel serve" in ended.stderr


def test_a_service_that_ends_is_an_error_and_a_reconnection() -> None:
    """The robots come back to the service that follows; the result tells of both."""
    port = free_port()
    command = ("simulate", "--url", f"ws://127.0.0.1:{port}", "--robots=3", "--seconds=60")
    with serving(port=port) as first, running(*command) as fleet:
        all_connected(first, 3)
        first.command.ends(signal.SIGTERM)
        with serving(port=port) as second:
            all_connected(second, 3)
            code, stdout, stderr = fleet.ends(signal.SIGINT)
    result = json.loads(stdout)
    assert result["reconnections"] == 3
    assert result["errors_by_kind"]["closed: 1012"] == 3
    assert code == 1
    assert "1012" in stderr


def test_robots_present_tokens_where_there_is_a_secret() -> None:
    """With the service's secret everything works; without it nothing does, and the text says so."""
    variables = {"CHARTER_AUTH_SECRET": "s" * 32}
    with serving(variables=variables) as service:
        command = ("simulate", "--url", service.websocket, "--robots=2", "--seconds=0.5")
        with_secret = called(*command, "--missions-per-second=5", variables=variables)
        without = called(*command)
    assert with_secret.returncode == 0, with_secret.stderr
    assert json.loads(with_secret.stdout)["missions_posted"] > 0
    assert without.returncode == 1
    assert json.loads(without.stdout)["errors_by_kind"].keys() == {"refused: HTTP 401"}
    assert "CHARTER_AUTH_SECRET" in without.stderr


def test_a_wrong_address_is_a_usage_error() -> None:
    """The exit code is 2, and the text shows a right one."""
    ended = called("simulate", "--url", "127.0.0.1:8000")
    assert ended.returncode == 2
    assert "ws://127.0.0.1:8000" in ended.stderr


def test_errors_are_counted_by_kind() -> None:
    """On a terminal, in the text of the failure and in the result: how many of what."""
    with (
        serving(variables={"CHARTER_MAX_CONNECTIONS": "2"}) as service,
        running("simulate", "--url", service.websocket, "--robots=3", "--seconds=60") as fleet,
    ):
        all_connected(service, 2)
        service.command.ends(signal.SIGTERM)
        wait_until(lambda: service.command.ended, "the service ends")
        # Only the result tells of refused attempts; the first one follows within half a second.
        time.sleep(1)
        _, stdout, stderr = fleet.ends(signal.SIGINT)
    kinds = json.loads(stdout)["errors_by_kind"]
    assert kinds["closed: 1012"] == 2
    assert kinds["refused: HTTP 503"] >= 1
    assert kinds["connect: ConnectionRefusedError"] >= 1
    for kind, number in kinds.items():
        assert f"{number} {kind}" in stderr


def test_a_certificate_of_ones_own_is_trusted_when_asked_to(tmp_path: Path) -> None:
    """Without --ca-file nothing connects, and the text names the option; with it, everything."""
    certificate = make_certificate(tmp_path)
    port = free_port()
    options = ("--ssl-certfile", str(certificate.chain), "--ssl-keyfile", str(certificate.key))
    with running("serve", f"--port={port}", *options) as service:
        service.says("https://")
        command = ("simulate", "--url", f"wss://127.0.0.1:{port}", "--robots=2", "--seconds=0.5")
        refused = called(*command)
        trusted = called(*command, "--missions-per-second=5", "--ca-file", str(certificate.chain))
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["errors_by_kind"].keys() == {"connect: untrusted certificate"}
    assert "--ca-file" in refused.stderr
    assert trusted.returncode == 0, trusted.stderr
    assert json.loads(trusted.stdout)["missions_posted"] > 0


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8000", "wss://127.0.0.1:8000"])
def test_a_ca_file_that_is_of_no_use_is_a_usage_error(tmp_path: Path, url: str) -> None:
    """There is nothing to check without TLS, and nothing to check with in other files."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    ended = called("simulate", "--url", url, "--ca-file", str(path))
    assert ended.returncode == 2
    assert "--ca-file" in ended.stderr
