"""Requests that name a trace: only one that may do what it asks for writes into that trace."""

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from charter_otel import CharterPlugin, Settings
from charter_otel.otel.trace_context import TraceIds
from charter_otel.testing import Capture
from charter_otel.tokens import sign

SECRET = "s" * 40
NAMED = TraceIds("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01")
TOKEN = f"Bearer {sign(SECRET, 'reader', scopes=['read'], lifetime=86_400)}"


def _ask(captured: Capture, secret: str | None, headers: dict[str, str]) -> int:
    return _answer(captured, secret, headers).status_code


def _answer(captured: Capture, secret: str | None, headers: dict[str, str]) -> httpx.Response:
    settings = Settings(auth_secret=secret, aggregation_interval=86_400)
    app = Litestar(plugins=[CharterPlugin(settings, emitter=captured.emitter)], logging_config=None)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        given = {"traceparent": NAMED.traceparent, **headers}
        return client.get("/api/telemetry/robots", headers=given)


@pytest.mark.parametrize(
    ("secret", "headers", "status"),
    [
        (SECRET, {}, 401),
        (SECRET, {"authorization": "Bearer nonsense"}, 401),
        (None, {"origin": "https://evil.example"}, 200),
    ],
)
def test_a_stranger_writes_into_nobodys_trace(
    charter_capture: Capture, secret: str | None, headers: dict[str, str], status: int
) -> None:
    """The request is a trace of its own, with a link to the one that it named."""
    assert _ask(charter_capture, secret, headers) == status
    [span] = [each for each in charter_capture.raw_spans if each.name.startswith("GET ")]
    assert span.parent is None
    [link] = span.links
    assert f"{link.context.trace_id:032x}" == NAMED.trace_id


@pytest.mark.parametrize(
    ("secret", "headers"), [(SECRET, {"authorization": TOKEN}), (None, {})], ids=["token", "open"]
)
def test_a_caller_with_a_token_continues_its_trace(
    charter_capture: Capture, secret: str | None, headers: dict[str, str]
) -> None:
    """As does everybody where no token is needed."""
    assert _ask(charter_capture, secret, headers) == 200
    [span] = [each for each in charter_capture.spans if each.name.startswith("GET ")]
    assert (span.trace_id, span.parent_id) == NAMED[:2]


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}]
)
def test_a_401_says_which_token_is_asked_for(
    charter_capture: Capture, headers: dict[str, str]
) -> None:
    """The standard asks for the challenge, with a wrong token as well as without one."""
    answer = _answer(charter_capture, SECRET, headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
