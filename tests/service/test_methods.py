"""The HTTP methods of the routes: HEAD, OPTIONS, and what a wrong method is answered."""

from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from charter_otel.service.app import create_app
from charter_otel.service.settings import Settings
from charter_otel.tokens import sign

READING = "GET, HEAD, OPTIONS"
ROUTES = {
    "/": READING,
    "/api": READING,
    "/api/asyncapi.json": READING,
    "/api/board": READING,
    "/api/board/robots": READING,
    "/api/board/robots/robot_1": READING,
    "/api/consumers/analytics": READING,
    "/api/consumers/status": READING,
    "/api/events": READING,
    "/api/events/stream": READING,
    "/api/metrics/jobs": READING,
    "/api/metrics/missions": "GET, HEAD, POST, OPTIONS",
    "/api/openapi.json": READING,
    "/api/telemetry/info": READING,
    "/api/telemetry/robots": READING,
    "/api/telemetry/robots/robot_1/metrics": READING,
    "/api/telemetry/ws/robot_1": READING,
    f"/api/traces/{'0' * 32}": READING,
    "/board/app.js": READING,
    "/healthz": READING,
    "/readyz": READING,
}


@pytest.fixture(scope="module")
def app() -> Iterator[TestClient[Litestar]]:
    """Run the service."""
    with TestClient(create_app(Settings(aggregation_interval=86_400))) as client:
        yield client


def test_every_route_is_in_the_table(app: TestClient[Litestar]) -> None:
    """A route that is added is added here, too."""
    shapes = {path.replace("{robot_id:str}", "robot_1") for path in map(_path, app.app.routes)}
    shapes = {path.replace("{trace_id:str}", "0" * 32) for path in shapes}
    shapes = {path.replace("{name:str}", "app.js") for path in shapes}
    assert {path for path in shapes if not path.startswith("/schema")} == ROUTES.keys()


def _path(route: object) -> str:
    return str(getattr(route, "path", ""))


@pytest.mark.parametrize("path", sorted(ROUTES.keys() - {"/api/events/stream"}))
def test_head_is_answered_as_get_is_without_a_body(app: TestClient[Litestar], path: str) -> None:
    """Status and headers are the same (RFC 9110, 9.3.2)."""
    get, head = app.get(path), app.head(path)
    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.content == b""


def test_head_of_the_event_stream_ends(app: TestClient[Litestar]) -> None:
    """It tells what GET would begin with, and no event is waited for."""
    head = app.head("/api/events/stream")
    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")
    assert head.content == b""


@pytest.mark.parametrize("path", ROUTES)
def test_allow_names_all_methods(app: TestClient[Litestar], path: str) -> None:
    """That of OPTIONS, and that of the answer to a method that is not possible."""
    wanted = sorted(ROUTES[path].split(", "))
    options, wrong = app.options(path), app.delete(path)
    assert (options.status_code, wrong.status_code) == (204, 405)
    assert sorted(options.headers["allow"].split(", ")) == wanted
    assert sorted(wrong.headers["allow"].split(", ")) == wanted


def test_plain_http_on_the_websocket_s_path_asks_for_an_upgrade(app: TestClient[Litestar]) -> None:
    """426 names the protocol (RFC 9110, 15.5.22)."""
    answer = app.get("/api/telemetry/ws/robot_1")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    assert "ws://" in answer.json()["detail"]


SECRET = "s" * 32
TOKENS = {
    "none": "",
    "wrong": "Bearer x",
    "robot": f"Bearer {sign(SECRET, 'robot_1', lifetime=60)}",
    "reader": f"Bearer {sign(SECRET, 'grafana', scopes=['read'], lifetime=60)}",
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[TestClient[Litestar]]:
    """Run the service with a secret."""
    settings = Settings(auth_secret=SECRET, aggregation_interval=86_400)
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_secret_does_not_hide_that_it_is_a_websocket(
    guarded: TestClient[Litestar], method: str, token: str
) -> None:
    """A robot behind a proxy that drops `Upgrade` learns that, not that its token lacks a scope."""
    for robot in ("robot_1", "robot_2"):
        answer = guarded.request(
            method, f"/api/telemetry/ws/{robot}", headers={"authorization": TOKENS[token]}
        )
        assert answer.status_code == 426
        assert answer.headers["upgrade"] == "websocket"


@pytest.mark.parametrize("path", ["ws/robot_1", "robots/robot_1/metrics"])
def test_a_secret_guards_all_else(guarded: TestClient[Litestar], path: str) -> None:
    """The exception is of one handler: its path's OPTIONS and its neighbours need a token."""
    method = "OPTIONS" if path.startswith("ws") else "GET"
    assert guarded.request(method, f"/api/telemetry/{path}").status_code == 401
