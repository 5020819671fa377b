"""From a URL to a stream, and what a wrong URL gives."""

import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from redis.asyncio import SSLConnection, UnixDomainSocketConnection

from charter_otel.redis.address import EXAMPLES, SCHEMES, parse_address, without_secrets
from charter_otel.streams import EventStream, MemoryStream, RedisStream, SilentObserver, connect

SECRET = "s3cr3t-pa55word"  # noqa: S105 - what must never be repeated


CLUSTER_OPTIONS = {"db": 0, "username": "me", "password": "pw"}


def test_memory_and_none() -> None:
    """The default is a stream in the process; `none` is none."""
    observer = SilentObserver()
    stream = connect("memory://", observer=observer)
    assert isinstance(stream, MemoryStream)
    assert stream.observer is observer
    assert connect("none") is None


@pytest.mark.parametrize(
    ("url", "name", "options"),
    [
        ("redis://h", "redis://h:6379", {"host": "h", "port": 6379, "db": 0}),
        ("redis://h:7000/3", "redis://h:7000", {"host": "h", "port": 7000, "db": 3}),
        ("redis://h/?db=4", "redis://h:6379", {"host": "h", "port": 6379, "db": 4}),
        ("redis://[::1]:7/0", "redis://[::1]:7", {"host": "::1", "port": 7, "db": 0}),
        (
            "redis://me:p%40ss@h",
            "redis://h:6379",
            {"host": "h", "port": 6379, "db": 0, "username": "me", "password": "p@ss"},
        ),
        (
            "redis://:pw@h",
            "redis://h:6379",
            {"host": "h", "port": 6379, "db": 0, "password": "pw"},
        ),
        (
            "rediss://h?ssl_ca_certs=/ca.pem",
            "rediss://h:6379",
            {"host": "h", "port": 6379, "db": 0, "ssl_ca_certs": "/ca.pem"},
        ),
        ("unix:///run/r%20s.sock?db=2", "unix:///run/r s.sock", {"path": "/run/r s.sock", "db": 2}),
        ("unix://:pw@/r.sock", "unix:///r.sock", {"path": "/r.sock", "db": 0, "password": "pw"}),
        (
            "redis+sentinel://:pw@a,[::1]:7/fleet/2?sentinel_password=sp",
            "redis+sentinel://a:26379,[::1]:7/fleet",
            {"db": 2, "password": "pw"},
        ),
        (
            "redis+sentinel://[::1],[FE80::1%25eth0]:7,[::ffff:10.0.0.1]/fleet",
            "redis+sentinel://[::1]:26379,[fe80::1%eth0]:7,[::ffff:10.0.0.1]:26379/fleet",
            {"db": 0},
        ),
        ("redis+cluster://a,[::1],[::2]:7", "redis+cluster://a:6379,[::1]:6379,[::2]:7", {"db": 0}),
        ("rediss+cluster://me:pw@a,b:7", "rediss+cluster://a:6379,b:7", CLUSTER_OPTIONS),
        (
            "redis://me:p@ss:w@h",
            "redis://h:6379",
            {"host": "h", "port": 6379, "db": 0, "username": "me", "password": "p@ss:w"},
        ),
    ],
)
def test_redis_urls_are_read(url: str, name: str, options: dict[str, object]) -> None:
    """Host, port, database, credentials and TLS options are taken from the URL."""
    address = parse_address(url)
    assert (address.name, address.options) == (name, options)
    stream = connect(url)
    assert isinstance(stream, RedisStream)


def addresses_in_the_readme() -> list[str]:
    """Return every address that the README, or an error, tells a reader to write."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    written = rf"\b(?:{'|'.join(map(re.escape, SCHEMES))})://[^\s`\"')|]+"
    found = [each.rstrip(".,;") for each in re.findall(written, f"{text} {EXAMPLES}")]
    return sorted({each for each in found if "…" not in each})


@pytest.mark.parametrize("url", addresses_in_the_readme())
def test_every_address_that_is_recommended_is_read(url: str) -> None:
    """As it stands there, with a number where it says `port`; and with IPv6 hosts, too."""
    url = url.replace(":port", ":6379")
    assert parse_address(url).name.startswith(url.partition("://")[0])
    with_ipv6 = parse_address(re.sub(r"host|127\.0\.0\.1", "[::1]", url))
    assert "host" not in with_ipv6.name


def test_sentinels_and_replicas_are_read() -> None:
    """The URL names sentinels, password, master, and how many replicas must confirm."""
    address = parse_address("redis+sentinel://a,b:7/fleet?sentinel_password=sp&replicas=2")
    assert address.nodes == [("a", 26379), ("b", 7)]
    assert (address.service, address.sentinel) == ("fleet", {"password": "sp"})
    assert address.replicas == 2
    assert parse_address("redis://h").replicas == 0


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("redis://me:pw@Redis.example.com/1", ("redis.example.com", 6379)),
        ("rediss://[::1]:7/0", ("::1", 7)),
        ("unix:///run/redis.sock?db=2", ("/run/redis.sock", None)),
        ("redis+sentinel://a,b:7/fleet", ("a", 26379)),
        ("redis+cluster://a:7,b:8", ("a", 7)),
    ],
)
def test_the_server_that_is_configured(url: str, server: tuple[str, int | None]) -> None:
    """Telemetry names one server: the first of several, or a socket's path."""
    assert parse_address(url).server == server


def connection(url: str) -> Any:
    """Return a connection as a stream makes them, not yet connected."""
    pool: Any = parse_address(url).client().connection_pool
    return pool.make_connection()


def test_tls_and_sockets_use_their_connections() -> None:
    """rediss:// means TLS with a checked certificate, unix:// a socket."""
    tls = connection("rediss://h")
    assert isinstance(tls, SSLConnection)
    assert tls.cert_reqs.name == "CERT_REQUIRED"
    assert tls.check_hostname
    local = connection("unix:///r")
    assert isinstance(local, UnixDomainSocketConnection)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "none ",
        "NONE",
        "memory",
        "memory://x",
        "http://h",
        "redis",
        "redis:",
        "redis://",
        "redis:h",
        "redis://:6379",
        "redis://h:0",
        "redis://h:70000",
        "redis://h:x",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h/9999999",
        "redis://h?socket_timeout=90",
        "redis://h?ssl_ca_certs=x",
        "redis://h#x",
        "redis://[h",
        "redis://[h]",
        "redis://::1",
        "redis://::1:6379",
        "redis://[::1]x",
        "redis://[::1]:7:8",
        "redis+cluster://a,[::1",
        "redis+cluster://a,[]:7",
        "redis://h h",
        "redis://hé",
        "unix://host/path",
        "unix://",
        "unix:///",
        "unix:///p?x=1",
        "redis://user:pa/ss@h",
        "redis://a,b",
        "redis://h?replicas=two",
        "redis://h?sentinel_password=x",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h,/fleet",
        "redis+sentinel://h/fleet/x",
        "redis+sentinel:///fleet",
        "redis+sentinel://me/x:pw@h",
        "unix:///me/x:pw@h",
        "redis+cluster://h/1",
        "redis+cluster://h/x",
        "redis+cluster://",
        "unix+cluster:///p",
    ],
)
def test_a_wrong_url_says_what_is_right(url: str) -> None:
    """The error gives examples of every kind, and nothing of the URL."""
    with pytest.raises(ValueError, match=r"redis://host:6379/0.*unix:///path/to/socket"):
        connect(url)


def attempt(url: str) -> tuple[EventStream | None, ValueError | None]:
    """Return the stream, or the error that a wrong URL gives."""
    try:
        return connect(url), None
    except ValueError as error:
        return None, error


@given(
    st.sampled_from([*(f"{scheme}://" for scheme in SCHEMES), "memory://", "none", "http://", ""]),
    st.text(max_size=20),
    st.text(max_size=20),
)
@example("redis+sentinel://", "me/x", "h/0")
def test_any_url_gives_a_stream_or_a_clear_error_without_its_secret(
    scheme: str, before: str, after: str
) -> None:
    """Garbage is a ValueError, whatever it holds, and a password in it is not repeated."""
    url = f"{scheme}{before}:{SECRET}@{after}"
    stream, error = attempt(url)
    if error is None:
        assert isinstance(stream, RedisStream)
        assert SECRET not in stream._health.name
    else:
        assert SECRET not in "".join(traceback.format_exception(error))
        assert SECRET not in without_secrets(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("kafka://broker:9092", "kafka://broker:9092"),
        ("redis://me:pw@h:6379/x", "redis://***@h:6379/x"),
        ("redis://:pw", "redis://***"),
        ("redis://h?password=pw", "redis://***"),
        ("redis:pw@h", "***"),
        ("memory", "memory"),
    ],
)
def test_a_wrong_url_is_shown_without_what_may_be_a_secret(url: str, shown: str) -> None:
    """Scheme, host, port and database help; what is not surely one of these stays out."""
    assert without_secrets(url) == shown


@given(st.text())
def test_any_text_gives_a_stream_or_a_value_error(url: str) -> None:
    """No text raises anything else."""
    assume(url not in {"none", "memory://"})
    _, error = attempt(url)
    assert error is None or "redis://" in str(error)


def test_the_address_hides_its_password_when_shown() -> None:
    """An address in a traceback or a debugger tells no secret."""
    address = parse_address(f"redis://me:{SECRET}@h")
    assert SECRET not in repr(address)
    assert SECRET not in str(address)
    assert SECRET not in repr(address.client())


@pytest.mark.parametrize(
    "kind", ["sentinel://me:{0}@h/m?sentinel_password={0}", "cluster://:{0}@h"]
)
def test_an_error_of_a_sentinel_hides_the_password_too(kind: str) -> None:
    """Neither the pool nor what it asks shows a secret."""
    client = parse_address(f"redis+{kind.format(SECRET)}").client()
    pool: Any = client.connection_pool
    assert SECRET not in repr(client)
    assert SECRET not in repr(pool.sentinel_manager)
