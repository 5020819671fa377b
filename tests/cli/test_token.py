"""`charter-otel token`, and the tokens that the other commands present."""

import json
import signal
import time
from collections.abc import Iterator

import pytest

from charter_otel.tokens import sign, verify
from cli.commands import Service, called, run, running, serving

SECRET = {"CHARTER_AUTH_SECRET": "s" * 40}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A running service with the secret."""
    with serving(variables=SECRET) as service:
        yield service


def test_the_token_and_nothing_else_is_printed() -> None:
    """It opens that robot's WebSocket, has no scope, and lives 30 days."""
    ended = run("token", "robot_1", variables=SECRET)
    assert ended.returncode == 0
    token = verify(["s" * 40], ended.stdout.removesuffix("\n"))
    assert (token.subject, token.scopes) == ("robot_1", frozenset())
    assert token.expires_at == pytest.approx(time.time() + 30 * 86_400 + 60, abs=30)


def test_scopes_and_lifetime_are_as_asked() -> None:
    """Both scopes may be given."""
    ended = called(
        "token", "ci", "--scope", "read", "--scope", "write", "--lifetime", "2h", variables=SECRET
    )
    token = verify(["s" * 40], ended.stdout.strip())
    assert token.scopes == {"read", "write"}
    assert token.expires_at == pytest.approx(time.time() + 7_260, abs=30)


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("robot_1",), {}, "CHARTER_AUTH_SECRET is not set"),
        (("robot 1",), SECRET, "is not a robot id"),
        (("robot_1", "--lifetime", "soon"), SECRET, "90s, 30m, 12h or 30d"),
        (("robot_1", "--lifetime", "0d"), SECRET, "90s, 30m, 12h or 30d"),
        (("robot_1", "--scope", "admin"), SECRET, "'read', 'write'"),
    ],
)
def test_faults_are_reported(
    arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    """The exit code is 2, nothing is on stdout, and the secret is nowhere."""
    ended = called("token", *arguments, variables=variables)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert said in ended.stderr
    assert "s" * 40 not in ended.stderr


@pytest.mark.parametrize("given", [SECRET, "token"])
def test_tail_presents_a_token(service: Service, given: dict[str, str] | str) -> None:
    """One of its own where it has the secret, or the one that it was given; it needs one."""
    token = sign("s" * 40, "reader", scopes=["read"], lifetime=60)
    variables = {"CHARTER_TOKEN": token} if isinstance(given, str) else given
    robots = ("tail", "--url", service.http, "--type", "telemetry.*")
    with running(*robots, variables=variables) as tail:
        tail.says("following")
        called("simulate", "--url", service.websocket, "--robots", "1", "--seconds", "0.2",
            variables=SECRET)  # fmt: skip
        assert json.loads(tail.line())["type"] == "telemetry.connection_established"
        assert tail.ends(signal.SIGINT)[0] == 0
    stranger = called("tail", "--url", service.http)
    assert stranger.returncode == 1
    for said in ("HTTP 401", "CHARTER_AUTH_SECRET", "CHARTER_TOKEN"):
        assert said in stranger.stderr
