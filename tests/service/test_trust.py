"""Requests that name a trace: only one that may do what it asks for writes into that trace."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from charter_otel import CharterPlugin, Settings
from charter_otel.otel.trace_context import TraceIds
from charter_otel.service import guards
from charter_otel.testing import Capture
from charter_otel.tokens import Scope, Token, sign, verify
from support.apps import make_app

SECRET = "s" * 40
NAMED = TraceIds("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01")


def _bearer(scope: Scope) -> dict[str, str]:
    return {"authorization": f"Bearer {sign(SECRET, 'holder', scopes=[scope], lifetime=86_400)}"}


READER, WRITER = _bearer("read"), _bearer("write")
ROBOTS = "/api/telemetry/robots"


def _answer(
    captured: Capture, secret: str | None, headers: dict[str, str], path: str = ROBOTS
) -> httpx.Response:
    settings = Settings(auth_secret=secret, aggregation_interval=86_400)
    app = make_app(plugins=[CharterPlugin(settings, emitter=captured.emitter)])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        given = {"traceparent": NAMED.traceparent, **headers}
        return client.get(path, headers=given)


@pytest.mark.parametrize(
    ("secret", "headers", "path", "status"),
    [
        (SECRET, {}, ROBOTS, 401),
        (SECRET, {"authorization": "Bearer nonsense"}, ROBOTS, 401),
        (SECRET, WRITER, ROBOTS, 403),
        (SECRET, {}, "/missing", 404),
        (None, {"host": "evil.example"}, ROBOTS, 403),
        (None, {"origin": "https://evil.example"}, ROBOTS, 200),
    ],
)
def test_a_refused_request_writes_into_nobodys_trace(
    charter_capture: Capture, secret: str | None, headers: dict[str, str], path: str, status: int
) -> None:
    """The request is a trace of its own, with a link to the one that it named."""
    assert _answer(charter_capture, secret, headers, path).status_code == status
    [span] = [each for each in charter_capture.raw_spans if each.name.startswith("GET")]
    assert span.parent is None
    [link] = span.links
    assert f"{link.context.trace_id:032x}" == NAMED.trace_id


@pytest.mark.parametrize(
    ("secret", "headers"), [(SECRET, READER), (None, {})], ids=["token", "open"]
)
def test_a_caller_with_a_token_continues_its_trace(
    charter_capture: Capture, secret: str | None, headers: dict[str, str]
) -> None:
    """As does everybody where no token is needed."""
    assert _answer(charter_capture, secret, headers).status_code == 200
    [span] = [each for each in charter_capture.spans if each.name.startswith("GET ")]
    assert (span.trace_id, span.parent_id) == NAMED[:2]


def test_a_token_is_verified_once(
    charter_capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trace and the guard share the result."""
    verified: list[str] = []

    def counted(secrets: Sequence[str], token: str) -> Token:
        verified.append(token)
        return verify(secrets, token)

    monkeypatch.setattr(guards, "verify", counted)
    assert _answer(charter_capture, SECRET, READER).status_code == 200
    assert len(verified) == 1


def test_a_token_that_another_app_has_verified_is_verified_again() -> None:
    """An app around this one may have other secrets, and shares the state of the request."""
    header = (b"authorization", READER["authorization"].encode())
    scope: Any = {"type": "http", "method": "GET", "headers": [header], "state": {}}
    assert guards.trusts([SECRET], [])(scope)
    assert not guards.trusts(["t" * 40], [])(scope)


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}]
)
def test_a_401_says_which_token_is_asked_for(
    charter_capture: Capture, headers: dict[str, str]
) -> None:
    """The standard asks for the challenge, with a wrong token as well as without one."""
    answer = _answer(charter_capture, SECRET, headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
