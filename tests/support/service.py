"""The service as a process of its own, as `charter-otel serve` runs it."""

import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request

from support.http import answer
from support.polling import wait_until
from support.ports import free_port

_OURS = ("CHARTER_", "OTEL_")
_PATIENCE = 180.0
"""Seconds that a service may take to answer first, on a machine that starts much beside it."""


class ServiceProcess:
    """A running service."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        port: int,
        output: Path,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.process = process
        secure = "s" if tls else ""
        self.http = f"http{secure}://127.0.0.1:{port}"
        self.websocket = f"ws{secure}://127.0.0.1:{port}"
        self._output = output
        self._tls = tls

    def get(self, path: str) -> Any:
        """Return what a route answers."""
        with answer(self.http + path, tls=self._tls) as response:
            return json.load(response)

    def post(self, path: str, body: Any) -> Any:
        """Send a body to a route, and return what it answers."""
        headers = {"content-type": "application/json"}
        data = json.dumps(body).encode()
        with answer(Request(self.http + path, data, headers)) as response:  # noqa: S310 - our own
            return json.load(response)

    def output(self) -> bytes:
        """Return stdout so far, as it is."""
        return self._output.read_bytes()

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines on stdout so far; each is a JSON object.

        While the service runs, its last line may be half written yet.
        """
        ended = self.process.poll() is not None
        output = self._output.read_bytes()
        whole = output if ended else output[: output.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines()]

    def events(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """Return the Charter events on stdout so far."""
        events = [line["charter"] for line in self.lines() if "charter" in line]
        return [event for event in events if event_type in {None, event["type"]}]

    def pause(self) -> None:
        """Suspend the process, as on a machine that is suspended or starved."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a sleeping process go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = 20.0) -> int:
        """Send a signal, wait for the end and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within)

    @property
    def answers(self) -> bool:
        """Whether the service answers."""
        try:
            return bool(self.get("/healthz"))
        except OSError:
            return False


def service(*arguments: str, **variables: str) -> AbstractContextManager[ServiceProcess]:
    """Run the service on a free port and wait until it answers; kill it whatever happens."""
    return _running(arguments, variables, None)


def service_at(port: int, **variables: str) -> AbstractContextManager[ServiceProcess]:
    """Run the service likewise on a port of the test's choice, to start it there again."""
    return _running((), variables, None, port)


def service_with_files(files: int, **variables: str) -> AbstractContextManager[ServiceProcess]:
    """Run the service likewise, with so many open files at most."""
    limited = ("sh", "-c", f'ulimit -n {files} && exec "$@"', "sh")
    return _running((), variables, None, launcher=limited)


def service_with_clock(**variables: str) -> AbstractContextManager[ServiceProcess]:
    """Run the service likewise, with a wall clock that signals set: see `chaos.clock`."""
    paths = os.environ.get("PYTHONPATH"), str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, paths))
    return _running((), {"PYTHONPATH": path, **variables}, None, runner=("chaos.clock",))


def secure_service(
    tls: ssl.SSLContext, *arguments: str, **variables: str
) -> AbstractContextManager[ServiceProcess]:
    """Run the service likewise, with a certificate.

    Args:
        tls: How a client checks the certificate.
        arguments: More of the command line, the certificate among it.
        variables: Environment variables.
    """
    return _running(arguments, variables, tls)


@contextmanager
def _running(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    tls: ssl.SSLContext | None,
    port: int | None = None,
    *,
    launcher: Sequence[str] = (),
    runner: Sequence[str] = (),
) -> Iterator[ServiceProcess]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="charter") as directory:
        output = Path(directory) / "stdout"
        with output.open("wb") as stdout:
            python = [sys.executable, "-m", *runner]
            command = [*python, "charter_otel", "serve", "--port", str(port)]
            process = subprocess.Popen(
                [*launcher, *command, *arguments],
                stdout=stdout,
                env={**kept, "CHARTER_STATE_DIR": directory, **variables},
            )
            try:
                running = ServiceProcess(process, port, output, tls)
                wait_until(
                    lambda: running.answers or process.poll() is not None,
                    *("service answers", _PATIENCE),
                )
                assert process.poll() is None, f"the service ended: {output.read_bytes()!r}"
                yield running
            finally:
                process.kill()
                process.wait()
