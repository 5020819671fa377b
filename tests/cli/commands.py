"""The real commands, as processes and within this one, and what they print."""

import fcntl
import inspect
import json
import os
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.request import urlopen

from click.testing import CliRunner

from charter_otel.cli import main
from support.polling import wait_until
from support.ports import free_port

COMMAND = (sys.executable, "-m", "charter_otel")

Variables = Mapping[str, str]
"""Environment variables."""

_NONE: Variables = {}
_MINE = ("CHARTER_", "OTEL_", "DEMO_")
_ENDS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def _environment(variables: Variables) -> dict[str, str]:
    """Return this process's environment without the project's variables, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_MINE)}
    return {**kept, "PYTHONWARNINGS": "error", **variables}


def called(*arguments: str, variables: Variables = _NONE) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end within this process: starting one takes a second.

    What the command does not report itself is raised.
    """
    without = {name: None for name in os.environ if name.startswith(_MINE)}
    # Before click 8.2 the two streams are one unless asked for; since then they always are two.
    asks = "mix_stderr" in inspect.signature(CliRunner).parameters
    options: dict[str, Any] = {"mix_stderr": False} if asks else {}
    with _unchanged():
        ended = CliRunner(**options).invoke(
            main, arguments, env={**without, **variables}, catch_exceptions=False
        )
    return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)


@contextmanager
def _unchanged() -> Iterator[None]:
    """Put back what commands change for the whole process: signals and the number of files."""
    handlers = {number: signal.getsignal(number) for number in _ENDS}
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def run(
    *arguments: str, within: float = 30.0, variables: Variables = _NONE
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
        env=_environment(variables),
    )


@contextmanager
def running(*arguments: str, variables: Variables = _NONE) -> Iterator["Running"]:
    """Run a command beside the test, and end it whatever happens."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(variables),
    )
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Running:
    """A command under way."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def line(self) -> str:
        """Wait for a line on stdout and give it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def writes(self, text: str) -> None:
        """Wait for a line on stdout that contains the text."""
        _read_until(self._process.stdout, text)

    def says(self, text: str) -> None:
        """Wait for a line on stderr that contains the text."""
        _read_until(self._process.stderr, text)

    def ends(self, number: signal.Signals, within: float = 15.0) -> tuple[int, str, str]:
        """Send a signal, wait for the end; give exit code, stdout and stderr."""
        self._process.send_signal(number)
        stdout, stderr = self._process.communicate(timeout=within)
        return self._process.returncode, stdout, stderr

    @property
    def ended(self) -> bool:
        """Whether the command has ended."""
        return self._process.poll() is not None


def _read_until(stream: IO[str] | None, text: str) -> None:
    assert stream is not None
    read = []
    while text not in (line := stream.readline()):
        read.append(line)
        assert line, f"the command ended without {text!r}: {read}"


class Service:
    """A service under way, as `charter-otel serve` runs it."""

    def __init__(self, command: Running, port: int) -> None:
        self.command = command
        self.port = port
        self.http = f"http://127.0.0.1:{port}"
        self.websocket = f"ws://127.0.0.1:{port}"

    def get(self, path: str) -> Any:
        """Return what a route answers."""
        with urlopen(self.http + path, timeout=5) as response:  # noqa: S310 - our own service
            return json.load(response)

    @property
    def alive(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.get("/healthz"))
        except OSError:
            return False


@contextmanager
def serving(
    *arguments: str, port: int | None = None, variables: Variables = _NONE
) -> Iterator[Service]:
    """Run `charter-otel serve`, on a free port unless given, and wait until it answers."""
    port = port or free_port()
    with running("serve", "--port", str(port), *arguments, variables=variables) as command:
        service = Service(command, port)
        wait_until(lambda: service.alive or command.ended, "the service answers", 15)
        assert not command.ended, "the service ended"
        yield service


def run_on_terminal(
    *arguments: str, within: float = 30.0, variables: Variables = _NONE
) -> tuple[int, str]:
    """Run a command with stdout and stderr on a pseudo-terminal; give exit code and screen text."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    variables = {"TERM": "xterm-256color", **variables}
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=theirs, stderr=theirs, env=_environment(variables)
    ) as process:
        os.close(theirs)
        try:
            screen = _read_to_end(ours, time.monotonic() + within)
        finally:
            process.kill()
            os.close(ours)
    return process.wait(), _ESCAPES.sub("", screen)


def _read_to_end(terminal: int, deadline: float) -> str:
    """Read until nobody has the other end any more."""
    read = b""
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # Linux's word for a terminal without another end
            return read.decode()
        if not data:
            return read.decode()
        read += data
    raise AssertionError(f"the command has not ended; so far it said {read.decode()!r}")


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
