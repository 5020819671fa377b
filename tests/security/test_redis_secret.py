"""The password in `CHARTER_EVENT_STREAM` never leaves, whether Redis takes it or not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from cli.commands import called
from support.otlp import Received, receiving
from support.polling import wait_until
from support.redis import RedisServer
from support.service import ServiceProcess, service
from support.strangers import Answer, ask, upgrade

USER, PASSWORD = "agent-0815", "pass/w:rd@w4ter-4711"
WRONG = "wr0ng-w4ter-4711"
HIDDEN = (PASSWORD, quote(PASSWORD, safe=""), WRONG, "w4ter", USER)
MISSION = b'{"mission_id":"m","status":"completed"}'
PATHS = ("/readyz", "/api/events", "/api/metrics/missions", "/api/telemetry/robots", "/nowhere")


class _Redis(RedisServer):
    @property
    def url(self) -> str:
        return self.url_with(PASSWORD)

    def url_with(self, password: str) -> str:
        return f"redis://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/0"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Redis]:
    """Run a Redis whose only user has a password."""
    rules = f"user {USER} on >{PASSWORD} ~* &* +@all\nuser default off ~* &* +@all\n"
    (tmp_path / "users.acl").write_text(rules)
    redis = _Redis(tmp_path, options=("--aclfile", str(tmp_path / "users.acl")))
    redis.start()
    yield redis
    redis.stop()


def _all_output(url: str, server: _Redis, *states: str) -> dict[str, str]:
    """Walk a service through its states, ask it for everything it shows, and return that."""
    answers: list[Answer] = []
    with _observed(url) as (running, received):
        for number, state in enumerate(states):
            if number:
                (server.start if state == "ready" else server.kill)()
            wait_until(partial(_is, state, running), state, 20)
            answers += _asked(running)
        wait_until(lambda: received.spans and received.log_records and received.metrics, "OTLP")
        running.stop()
        output = running.output().decode()
    return {
        "stdout": output,
        "otlp": "\n".join(str(request) for _, request in received.requests),
        "answers": "\n".join(str(a.headers) + a.body.decode("latin-1") for a in answers),
    }


@contextmanager
def _observed(url: str) -> Iterator[tuple[ServiceProcess, Received]]:
    with receiving() as received:
        variables = {
            "CHARTER_EVENT_STREAM": url,
            "CHARTER_LOG_LEVEL": "DEBUG",
            "CHARTER_AGGREGATION_INTERVAL": "0.5",
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
        }
        with service(**variables) as running:
            yield running, received


def _asked(running: ServiceProcess) -> Iterator[Answer]:
    yield upgrade(running.http, "/api/telemetry/ws/robot_1")
    yield ask(running.http, "POST", "/api/metrics/missions", body=MISSION)
    for path in PATHS:
        yield ask(running.http, "GET", path)


def _is(state: str, running: ServiceProcess) -> bool:
    return bool(json.loads(ask(running.http, "GET", "/readyz").body)["status"] == state)


def _leaks(output: dict[str, str]) -> list[tuple[str, str]]:
    return [(where, what) for where, text in output.items() for what in HIDDEN if what in text]


def test_a_password_that_redis_takes(server: _Redis, capfd: pytest.CaptureFixture[str]) -> None:
    """Connected, lost and back: not in a line, a span, a metric, `/readyz` or an error's text."""
    output = _all_output(server.url, server, "ready", "degraded", "ready")
    assert _leaks(output | {"stderr": capfd.readouterr().err}) == []
    assert "connection_established" in output["stdout"]


def test_a_password_that_redis_does_not_take(
    server: _Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log says that Redis does not take it, and not what it is."""
    output = _all_output(server.url_with(WRONG), server, "degraded")
    assert _leaks(output | {"stderr": capfd.readouterr().err}) == []
    assert "WRONGPASS" in output["stdout"] or "invalid username-password" in output["stdout"]


WRONG_URLS = [
    f"redis://{USER}:{WRONG}@127.0.0.1:1/no-number",
    f"redis://{USER}:{WRONG}@127.0.0.1:no-port/0",
    f"redis://{USER}:{WRONG}@[127.0.0.1/0",
    f"redis://{USER}:{WRONG}#@127.0.0.1/0",
    f"redis:{USER}:{WRONG}@127.0.0.1:1",
    f"unix://{USER}:{WRONG}@127.0.0.1/redis.sock",
    f"unix:///nowhere/{USER}:{WRONG}@redis.sock",
    f"amqp://{USER}:{WRONG}@127.0.0.1/0",
]


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("tail",), ("dead-letters", "list")])
@pytest.mark.parametrize("url", WRONG_URLS)
def test_no_command_repeats_an_address_that_is_wrong(command: tuple[str, ...], url: str) -> None:
    """It names the variable, and says what is right."""
    ended = called(*command, variables={"CHARTER_EVENT_STREAM": url})
    assert ended.returncode != 0
    assert "CHARTER_EVENT_STREAM" in ended.stderr
    assert [what for what in HIDDEN if what in ended.stdout + ended.stderr] == []


@pytest.mark.parametrize("command", [("tail",), ("dead-letters", "list")])
def test_no_command_repeats_a_password_that_is_wrong(
    server: _Redis, command: tuple[str, ...]
) -> None:
    """Redis is there, and says no."""
    ended = called(*command, variables={"CHARTER_EVENT_STREAM": server.url_with(WRONG)})
    assert ended.returncode != 0
    assert [what for what in HIDDEN if what in ended.stdout + ended.stderr] == []
