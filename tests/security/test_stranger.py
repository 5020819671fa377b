"""A stranger at the real server: reads nothing, writes nothing, learns nothing."""

import json
import re
from collections.abc import Iterator

import jwt
import pytest
from websockets.sync.client import ClientConnection, connect

from charter_otel.service.app import create_app
from charter_otel.service.asyncapi import asyncapi
from charter_otel.service.openapi import openapi
from charter_otel.service.settings import Settings
from charter_otel.tokens import Scope, sign
from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, service
from support.strangers import Answer, ask, upgrade

SECRET, OTHER = "s" * 40, "o" * 40
UNSIGNED = {"sub": "x", "aud": "charter-otel", "exp": 9_999_999_999, "scope": "read write"}
OPEN = {"/healthz", "/readyz"}
UNAUTHORIZED = {
    "type": "about:blank",
    "title": "Unauthorized",
    "status": 401,
    "detail": "Present a bearer token.",
}

ROUTES = sorted(
    (method.upper(), path)
    for path, methods in openapi(create_app(Settings()))["paths"].items()
    for method in methods
    if path not in OPEN
)
"""Routes that a stranger finds in the OpenAPI document."""


def _bearer(subject: str, *scopes: Scope, secret: str = SECRET, lifetime: float = 86_400) -> str:
    return f"Bearer {sign(secret, subject, scopes=scopes, lifetime=lifetime)}"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServiceProcess]:
    """Yield a service with a secret, on all addresses, with one robot that is connected."""
    arguments = ("--host", "0.0.0.0")  # noqa: S104
    with service(*arguments, CHARTER_AUTH_SECRET=SECRET) as running, _robot(running) as robot:
        robot.send(READING)
        wait_until(lambda: _metrics(running).status == 200, "the robot's reading is there")
        yield running


def _robot(running: ServiceProcess, robot_id: str = "robot_known") -> ClientConnection:
    return connect(
        f"{running.websocket}/api/telemetry/ws/{robot_id}",
        additional_headers={"Authorization": _bearer(robot_id)},
        proxy=None,
    )


def _metrics(running: ServiceProcess) -> Answer:
    path = "/api/telemetry/robots/robot_known/metrics"
    return ask(running.http, "GET", path, {"Authorization": _bearer("grafana", "read")})


def _filled(path: str, robot_id: str) -> str:
    return re.sub(r"\{robot_id\}", robot_id, path)


def test_the_document_names_the_routes_that_are_tried() -> None:
    """All of them but the probes, reading and writing."""
    assert len(ROUTES) >= 8
    assert ("POST", "/api/metrics/missions") in ROUTES


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/schema/openapi.json")])
def test_a_stranger_gets_the_same_answer_everywhere(
    guarded: ServiceProcess, method: str, path: str
) -> None:
    """A 401 that is the same for what is known, what is not, and what is wrong."""
    for robot_id in ("robot_known", "robot_unknown", "-"):
        answer = ask(guarded.http, method, _filled(path, robot_id) + "?limit=x&after=x&type=x")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.problem == UNAUTHORIZED


def test_a_stranger_finds_no_open_channel(guarded: ServiceProcess) -> None:
    """Each address in the AsyncAPI document that leads to the service asks for a token."""
    document = asyncapi()
    asked = {}
    for channel in document["channels"].values():
        protocol = document["servers"][channel["servers"][0]["$ref"].rpartition("/")[2]]["protocol"]
        path = _filled(channel["address"], "robot_known")
        if protocol == "ws":
            asked[path] = upgrade(guarded.websocket, path).status
        elif protocol == "http":
            asked[path] = ask(guarded.http, "GET", path).status
    assert asked == {"/api/events/stream": 401, "/api/telemetry/ws/robot_known": 401}


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorization",
    [
        _bearer("grafana", "read", "write", secret=OTHER),
        _bearer("grafana", "read", "write", lifetime=-60),
        _bearer("grafana", "read", "write")[:-2],
        f"Bearer {jwt.encode(UNSIGNED, None, 'none')}",
        f"Bearer {jwt.encode(UNSIGNED, SECRET, 'HS384')}",
        f"Bearer {jwt.encode(UNSIGNED, OTHER, headers={'kid': '/dev/null'})}",
        f"Bearer {jwt.encode(UNSIGNED, SECRET, headers={'crit': ['exp']})}",
        f"Bearer {jwt.encode(UNSIGNED | {'aud': 'another'}, SECRET)}",
        f"Bearer {jwt.encode(UNSIGNED | {'sub': 1}, SECRET)}",
        f"Bearer {jwt.encode(UNSIGNED | {'exp': 10**400}, SECRET)}",
        f"Bearer {jwt.encode(UNSIGNED | {'nbf': 9_999_999_998}, SECRET)}",
        "Bearer " + "." * 9_000,
        "Bearer \xff",
        "Basic cm9ib3Q6",
    ],
)
def test_a_token_that_is_none_of_ours_opens_nothing(
    guarded: ServiceProcess, method: str, path: str, authorization: str
) -> None:
    """Of another secret, expired, cut short, unsigned, of wrong claims, or no token: 401."""
    answer = ask(
        guarded.http, method, _filled(path, "robot_known"), {"Authorization": authorization}
    )
    assert answer.status == 401


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_robot_s_token_neither_reads_nor_writes(
    guarded: ServiceProcess, method: str, path: str
) -> None:
    """Without a scope there is 403, for a robot's own readings too."""
    headers = {"Authorization": _bearer("robot_known")}
    assert ask(guarded.http, method, _filled(path, "robot_known"), headers).status == 403


def test_each_scope_allows_its_own_and_no_more(guarded: ServiceProcess) -> None:
    """A reader cannot write, and the other way round."""
    body = b'{"mission_id":"m","status":"completed"}'
    path = "/api/metrics/missions"
    statuses = [
        ask(guarded.http, method, path, {"Authorization": _bearer("x", scope)}, data).status
        for scope in ("read", "write")
        for method, data in (("GET", b""), ("POST", body))
    ]
    assert statuses == [200, 403, 403, 202]


@pytest.mark.parametrize("robot_id", ["robot_known", "robot_unknown"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": _bearer("robot_known", secret=OTHER)}, 401),
        ({"Authorization": _bearer("robot_known", lifetime=-60)}, 401),
        ({"Sec-WebSocket-Protocol": "charter.v1"}, 401),
        ({"Authorization": _bearer("robot_another", "read", "write")}, 403),
    ],
)
def test_a_stranger_opens_no_robot_s_socket(
    guarded: ServiceProcess, robot_id: str, headers: dict[str, str], status: int
) -> None:
    """The answer tells nothing of whether the robot is known or connected."""
    answer = upgrade(guarded.websocket, f"/api/telemetry/ws/{robot_id}", headers)
    assert answer.status == status
    assert "robot_" not in answer.body.decode()
    assert set(answer.headers) <= {
        "content-type", "content-length", "connection", "www-authenticate", "date",
        "transfer-encoding",
    }  # fmt: skip


@pytest.mark.parametrize(
    "robot_id",
    [
        *("..", "%2e%2e%2frobots", "robot_own%2f..", "robot_own%00", "robot_own%0d%0aX:%201"),
        *("robot_own;a=b", "robot_own%20", "robot_own%E2%80%8B", "%EF%BD%92obot_own", "r" * 65),
    ],
)
def test_no_spelling_of_an_id_leads_elsewhere(guarded: ServiceProcess, robot_id: str) -> None:
    """Paths that climb, control characters, look-alikes: refused, with the robot's token too."""
    headers = {"Authorization": _bearer("robot_own", "read")}
    socket = upgrade(guarded.websocket, f"/api/telemetry/ws/{robot_id}", headers)
    metrics = ask(guarded.http, "GET", f"/api/telemetry/robots/{robot_id}/metrics", headers)
    assert {socket.status, metrics.status} <= {400, 403, 404}


@pytest.mark.parametrize("path", ["/", "/api/telemetry/ws", "/api/telemetry/ws/a/b", "/api/events"])
def test_there_is_no_other_socket(guarded: ServiceProcess, path: str) -> None:
    """A handshake anywhere else is refused, with a token too."""
    headers = {"Authorization": _bearer("robot_known", "read", "write")}
    assert upgrade(guarded.websocket, path, headers).status in {403, 404}


def test_a_robot_s_token_opens_its_own_socket(guarded: ServiceProcess) -> None:
    """As a header, and as a browser's subprotocol."""
    path = "/api/telemetry/ws/robot_own"
    bearer = _bearer("robot_own")
    offered = {"Sec-WebSocket-Protocol": f"charter.v1, bearer.{bearer.removeprefix('Bearer ')}"}
    assert upgrade(guarded.websocket, path, {"Authorization": bearer}).status == 101
    assert upgrade(guarded.websocket, path, offered).headers["sec-websocket-protocol"] == (
        "charter.v1"
    )


def test_the_probes_are_open_and_report_a_status_only(guarded: ServiceProcess) -> None:
    """Numbers are for those who may read."""
    assert ask(guarded.http, "GET", "/healthz").status == 200
    stranger = json.loads(ask(guarded.http, "GET", "/readyz").body)
    assert stranger == {"status": "ready", "dependencies": {"event_stream": {"status": "ready"}}}
    reader = ask(guarded.http, "GET", "/readyz", {"Authorization": _bearer("probe", "read")})
    assert "queued" in json.loads(reader.body)["dependencies"]["event_stream"]


def test_nothing_of_it_became_an_event(guarded: ServiceProcess) -> None:
    """The stream holds accepted robots only."""
    established = guarded.events("telemetry.connection_established")
    assert {event["payload"]["robot_id"] for event in established} <= {"robot_known", "robot_own"}
