"""Nothing secret or personal leaves the service, whatever is done to it."""

import contextlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from charter_otel.tokens import Scope, sign
from support.otlp import Received, receiving
from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, service
from support.strangers import ADDRESS, Answer, ask, upgrade

SECRET, PREVIOUS = "current-" + "s" * 40, "previous-" + "p" * 40
HOST = "attacker.example"
ROBOT = "/api/telemetry/ws/robot_1"


def _token(subject: str, *scopes: Scope, secret: str = SECRET, lifetime: float = 86_400) -> str:
    return sign(secret, subject, scopes=scopes, lifetime=lifetime)


TOKENS = {
    "robot": _token("robot_1"),
    "previous": _token("robot_1", secret=PREVIOUS),
    "reader": _token("grafana", "read", "write"),
    "another": _token("robot_2"),
    "expired": _token("robot_1", lifetime=-120),
    "forged": _token("robot_1", secret="f" * 40),
}


def _play(running: ServiceProcess) -> Iterator[Answer]:
    """Do what is right and what is wrong, with each token in each place where one can stand."""
    for token in TOKENS.values():
        bearer = {"Authorization": f"Bearer {token}"}
        subprotocol = {"Sec-WebSocket-Protocol": f"charter.v1, bearer.{token}"}
        yield upgrade(running.http, ROBOT, bearer)
        yield upgrade(running.http, ROBOT, subprotocol)
        yield upgrade(running.http, f"{ROBOT}?token={token}&access_token={token}")
        yield upgrade(running.http, "/nowhere", bearer | {"Origin": f"https://{HOST}"})
        for path in ("/api/telemetry/robots", "/api/events?limit=x", "/nowhere", "/schema"):
            yield ask(running.http, "GET", f"{path}?token={token}", bearer)
        yield ask(running.http, "POST", "/api/metrics/missions", bearer, b'{"mission_id":1}')
        yield ask(running.http, "GET", "/api/telemetry/robots", {"Cookie": f"token={token}"})
        yield ask(running.http, "BREW", "/", bearer | {"X-Forwarded-For": "203.0.113.9"})
        yield ask(running.http, "GET", "/\x00broken", bearer)
    headers = {"Authorization": f"Bearer {TOKENS['robot']}"}
    url = f"{running.websocket}{ROBOT}"
    with connect(url, additional_headers=headers, proxy=None, source_address=(ADDRESS, 0)) as robot:
        robot.send(READING)
        for _ in range(10):
            robot.send(f'{{"token":"{TOKENS["robot"]}"')
        with contextlib.suppress(ConnectionClosed):
            while True:
                robot.recv(timeout=5)


@contextmanager
def _observed() -> Iterator[tuple[ServiceProcess, Received]]:
    with receiving() as received:
        variables = {
            "CHARTER_AUTH_SECRET": SECRET,
            "CHARTER_AUTH_SECRET_PREVIOUS": PREVIOUS,
            "CHARTER_LOG_LEVEL": "DEBUG",
            "CHARTER_AGGREGATION_INTERVAL": "0.5",
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
        }
        with service("--host", "0.0.0.0", **variables) as running:  # noqa: S104
            yield running, received


def test_no_secret_token_or_address_leaves(capfd: pytest.CaptureFixture[str]) -> None:
    """Not in a line at the level DEBUG, a span, a record, a metric, an answer, or on stderr."""
    with _observed() as (running, received):
        answers = list(_play(running))
        wait_until(lambda: received.spans and received.log_records and received.metrics, "OTLP")
        assert running.stop() == 0
        output = running.output().decode()
    outputs = {
        "stdout": output,
        "stderr": capfd.readouterr().err,
        "otlp": "\n".join(str(request) for _, request in received.requests),
        "answers": "\n".join(
            json.dumps(answer.headers) + answer.body.decode("latin-1") for answer in answers
        ),
    }
    parts = [part for token in TOKENS.values() for part in token.split(".")[1:]]
    hidden = {SECRET, PREVIOUS, *parts, ADDRESS, "203.0.113.9", HOST}
    leaks = [(where, what) for where, text in outputs.items() for what in hidden if what in text]
    assert leaks == []
    assert {answer.status for answer in answers} >= {101, 200, 400, 401, 403, 404}
    assert "handshake refused" in output
