"""The attributes of one request: path, query, server, protocol."""

from typing import Any

import pytest

from charter_otel.otel.requests import of_request, redacted

LOCAL = {"server.address": "10.1.2.80", "server.port": 8000}


def scope(*hosts: bytes, **changes: Any) -> dict[str, Any]:
    """Return an ASGI scope whose request has these ``Host`` headers."""
    given = {
        "path": "/api/events",
        "scheme": "http",
        "headers": [(b"accept", b"*/*"), *((b"host", host) for host in hosts)],
        "server": ("10.1.2.80", 8000),
    }
    return given | changes


def server(found: dict[str, Any]) -> dict[str, Any]:
    """Return the server among the attributes of a request."""
    return {key: value for key, value in found.items() if key.startswith("server.")}


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        (b"fleet.example.com", "fleet.example.com", 80),
        (b"Fleet.Example.COM:8080", "fleet.example.com", 8080),
        (b"fleet_1", "fleet_1", 80),
        (b"fleet:", "fleet", 80),
        (b"192.0.2.7:65535", "192.0.2.7", 65535),
        (b"[2001:DB8::1]:8443", "2001:db8::1", 8443),
        (b"[::1]", "::1", 80),
        (b"a" * 253 + b":1", "a" * 253, 1),
    ],
)
def test_the_host_header_names_the_server(host: bytes, address: str, port: int) -> None:
    """It is the server that the client asked for, whichever socket took the request."""
    assert server(of_request(scope(host))) == {"server.address": address, "server.port": port}


@pytest.mark.parametrize(
    ("scheme", "port"), [("http", 80), ("ws", 80), ("https", 443), ("wss", 443)]
)
def test_the_port_follows_from_the_scheme(scheme: str, port: int) -> None:
    """A host without a port means the scheme's own."""
    assert of_request(scope(b"fleet", scheme=scheme))["server.port"] == port


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        (b"",),
        (b":8080",),
        (b"a" * 254,),
        (b"a" * 9000,),
        (b"fleet:0",),
        (b"fleet:65536",),
        (b"fleet:123456",),
        (b"fleet:8o",),
        (b"fleet/..",),
        (b"user:hunter2@fleet",),
        (b"fl\xe9et",),
        (b"fleet\n",),
        (b"::1",),
        (b"[::1",),
        (b"[fleet]",),
        (b"one", b"two"),
    ],
)
def test_without_a_valid_host_it_is_the_local_socket(hosts: tuple[bytes, ...]) -> None:
    """A malformed or a second ``Host`` names no server, and is not repeated anywhere."""
    assert server(of_request(scope(*hosts))) == LOCAL


@pytest.mark.parametrize(
    ("socket", "found"),
    [
        (("/run/charter.sock", None), {"server.address": "/run/charter.sock"}),
        (None, {}),
    ],
)
def test_a_socket_without_a_port(socket: Any, found: dict[str, Any]) -> None:
    """A Unix socket has a path only, and some servers tell nothing."""
    assert server(of_request(scope(server=socket))) == found


def test_path_query_and_protocol() -> None:
    """They are there where there are such; the path is cut where it is endless."""
    asked = scope(b"fleet", query_string=b"token=hunter2&ack=1", http_version="1.1")
    assert of_request(asked) == {
        "url.path": "/api/events",
        "url.query": "token=REDACTED&ack=1",
        "server.address": "fleet",
        "server.port": 80,
        "network.protocol.version": "1.1",
    }
    assert len(str(of_request(scope(path="/" + "x" * 9000))["url.path"])) == 512


@pytest.mark.parametrize(
    ("query", "noted"),
    [
        ("limit=5&type=metrics.*", "limit=5&type=metrics.*"),
        ("access_token=hunter2&limit=5", "access_token=REDACTED&limit=5"),
        ("hunter2", "REDACTED"),
        ("after", "after"),
        ("after=&&x=", "after=&&x="),
        ("sig=hunter2=hunter2", "sig=REDACTED"),
        ("limit=" + "9" * 600, "limit=REDACTED"),
        ("limit=x?token=" + "hunter2" * 20, "limit=REDACTED"),
        ("limit=x?token=hunter2", "limit=REDACTED"),
        ("hunter2hunter2hunter2hunter2=1", "REDACTED"),
    ],
)
def test_a_query_is_noted_without_what_may_be_secret(query: str, noted: str) -> None:
    """Names stay, values of our own parameters stay, and what has no name goes."""
    assert redacted(query.encode()) == noted
