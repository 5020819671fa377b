"""Terminals, pipes and signals: whatever a command is started with, it works and ends well."""

import os
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from charter_otel.failures import CommandFailure, Refusal
from charter_otel.otel.lines.values import one_line, plain_json
from cli.commands import called, serving
from support.ports import free_port

COMMAND = [sys.executable, "-m", "charter_otel"]
HOSTILE = "\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2028next\x7f\u2066"


@pytest.fixture
def terminal() -> Iterator[None]:
    """Let SIGHUP end what the test starts, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("terminal")
def test_a_closed_terminal_ends_the_service_as_sigterm_does() -> None:
    """Robots are closed with a code, and their closes are reported."""
    with serving() as service:
        code, stdout, _ = service.command.ends(signal.SIGHUP)
    assert code == 0
    assert "service stopping" in stdout


def test_a_command_that_ignores_sighup_outlives_the_terminal() -> None:
    """As under nohup."""
    script = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from charter_otel.cli.process import prepare\n"
        "prepare(); print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert output.stdout == b"True\n"


@pytest.mark.usefixtures("terminal")
def test_a_command_within_a_test_leaves_the_process_as_it_was() -> None:
    """Its handlers of signals and its limit of open files end with it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = (before[0] - 1, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, lower)
    try:
        address = f"ws://127.0.0.1:{free_port()}"
        assert called("simulate", "--url", address, "--robots=1", "--seconds=0.1").stderr
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == lower
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_commands_work_with_closed_streams(closed: str) -> None:
    """And nothing else gets the number of a stream."""
    command = f"exec {shlex.quote(sys.executable)} -m charter_otel schema {closed}"
    ended = subprocess.run(["/bin/sh", "-c", command], check=False)
    assert ended.returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_commands_work_whatever_the_encoding_of_stdout(encoding: str) -> None:
    """Characters that an encoding lacks are escaped."""
    variables = dict(os.environ) | {"PYTHONIOENCODING": encoding}
    for arguments in (["schema"], ["--help"], ["token", "robøt"]):
        ended = subprocess.run(
            [*COMMAND, *arguments], check=False, capture_output=True, env=variables
        )
        assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("kind", [CommandFailure, Refusal])
def test_an_error_text_of_others_steers_no_terminal(
    kind: Callable[[str], click.ClickException],
) -> None:
    """Controls, C1, bidi and line separators are shown, not obeyed."""

    @click.command()
    def fails() -> None:
        raise kind(f"the service says {HOSTILE}")

    result = CliRunner().invoke(fails)
    assert all(c.isprintable() for c in result.output.replace("\n", ""))


@given(st.text())
def test_json_of_others_steers_no_terminal_and_means_the_same(text: str) -> None:
    """Neither what commands print nor the service's own lines."""
    encoded = json.encode({"said": text + HOSTILE})
    shown = plain_json(encoded.decode())
    assert shown.isprintable()
    assert json.decode(shown) == json.decode(encoded)
    line = one_line(encoded)
    assert json.decode(line) == json.decode(encoded)
    assert not set(line.decode()) & set("\x7f\x9b\u202e\u2028\u2066")


def test_the_state_directory_of_a_user_without_a_home_is_none() -> None:
    """Nothing is written below a directory that is called ``~``."""
    script = (
        "import os, pwd\n"
        "def none(_): raise KeyError\n"
        "pwd.getpwuid = none; os.environ.pop('HOME', None)\n"
        "from charter_otel.service.settings import load\n"
        "print(load({}).state_dir)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert output.stdout.decode().strip() == "/nonexistent/charter-otel"
    assert not os.path.exists("~")  # noqa: PTH110 - not the home
