"""TLS as `charter-otel serve` offers it: a real certificate, real clients."""

import json
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from cli.commands import run
from support.certificates import Certificate, make_certificate
from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, secure_service

ROBOT = "/api/telemetry/ws/robot_1?ack=1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Make a certificate."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(certificate: Certificate) -> Iterator[ServiceProcess]:
    """Yield a service with the certificate."""
    options = ("--ssl-certfile", str(certificate.chain), "--ssl-keyfile", str(certificate.key))
    with secure_service(certificate.trusted, *options) as running:
        yield running


def test_a_robot_talks_over_wss(secure: ServiceProcess, certificate: Certificate) -> None:
    """Handshake, readings, acknowledgements, close; REST is there over https."""
    url = secure.websocket + ROBOT
    with connect(url, ssl=certificate.trusted, proxy=None) as robot:
        robot.send(READING)
        assert json.loads(robot.recv(timeout=5)) == {"type": "ack", "n": 1}
        reading = secure.get("/api/telemetry/robots/robot_1/metrics")
    assert reading["cpu_usage"] == json.loads(READING)["cpu_usage"]
    wait_until(lambda: secure.events("telemetry.connection_closed"), "it is closed")
    reasons = {e["payload"]["reason"] for e in secure.events("telemetry.connection_closed")}
    assert reasons == {"client_disconnect"}


def test_the_simulated_fleet_does_too(secure: ServiceProcess, certificate: Certificate) -> None:
    """With the certificate among those that the machine trusts."""
    ended = run(
        *("simulate", "--url", secure.websocket, "--robots", "2", "--hz", "5", "--seconds", "1"),
        variables={"SSL_CERT_FILE": str(certificate.chain)},
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["connected"], result["errors"]) == (2, 0)


def test_a_client_that_does_not_trust_the_certificate_does_not_connect(
    secure: ServiceProcess,
) -> None:
    """Clients check it."""
    with (
        pytest.raises(ssl.SSLCertVerificationError),
        connect(secure.websocket + ROBOT, ssl=ssl.create_default_context(), proxy=None),
    ):
        pass


def test_nobody_gets_through_without_tls(secure: ServiceProcess) -> None:
    """A request in plain text is not answered, and the service goes on."""
    address = urlsplit(secure.http)
    with socket.create_connection((address.hostname, address.port or 0), timeout=5) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not client.recv(100).startswith(b"HTTP/")
    assert secure.answers


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_refused(
    secure: ServiceProcess, certificate: Certificate, version: ssl.TLSVersion
) -> None:
    """1.2 and 1.3 it is."""
    context = certificate.trusted
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    address = urlsplit(secure.http)
    with (
        socket.create_connection((address.hostname, address.port or 0), timeout=5) as client,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(client, server_hostname=address.hostname)
