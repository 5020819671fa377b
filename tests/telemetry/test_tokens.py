"""Robots' tokens at the handshake and on a living connection."""

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from charter_otel import tokens
from support.robots import Robots

SECRET, PREVIOUS, WRONG = ("a" * 32, "b" * 32, "c" * 32)


def _header(robot_id: str, secret: str = SECRET, lifetime: float = 3_600) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.sign(secret, robot_id, lifetime=lifetime)}"}


@pytest.fixture
def guarded(robots: Robots) -> Robots:
    """Return a gateway that asks for tokens."""
    robots.gateway.secrets = (SECRET, PREVIOUS)
    return robots


async def test_a_robot_with_its_own_token_is_accepted(guarded: Robots) -> None:
    """Signed with the current secret or with the previous one."""
    await guarded.connect("robot_1", additional_headers=_header("robot_1"))
    await guarded.connect("robot_2", additional_headers=_header("robot_2", PREVIOUS))
    assert len(guarded.established) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": "Basic cm9ib3Q6"}, 401),
        (_header("robot_1", WRONG), 401),
        (_header("robot_1", lifetime=-60), 401),
        (_header("robot_2"), 403),
    ],
)
async def test_a_stranger_is_refused_before_accept(
    guarded: Robots, headers: dict[str, str], status: int
) -> None:
    """No token, a broken one, a forged one, an expired one: 401. Another robot's: 403. No event."""
    with pytest.raises(InvalidStatus) as refused:
        await guarded.connect("robot_1", additional_headers=headers)
    response = refused.value.response
    assert response.status_code == status
    assert json.loads(response.body or b"")["status"] == status
    assert guarded.stream.events == []


async def test_a_browser_brings_its_token_as_a_subprotocol(guarded: Robots) -> None:
    """The server picks a subprotocol that was offered, which browsers insist on."""
    token = tokens.sign(SECRET, "robot_1", lifetime=60)
    offered = [Subprotocol("charter.v1"), Subprotocol(f"bearer.{token}")]
    client = await guarded.connect("robot_1", subprotocols=offered)
    assert client.subprotocol == "charter.v1"


async def test_pages_of_another_origin_may_not_connect(robots: Robots) -> None:
    """A browser tells the page's origin; robots send none."""
    with pytest.raises(InvalidStatus) as refused:
        await robots.connect(origin="https://elsewhere.example")
    assert refused.value.response.status_code == 403
    await robots.connect(origin=f"http://{robots.address}")


async def test_an_expired_token_ends_a_living_connection(
    guarded: Robots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed as ``token_expired`` with code 4401."""
    monkeypatch.setattr(tokens, "LEEWAY", 0.0)
    headers = _header("robot_1", lifetime=2)
    client = await guarded.connect("robot_1", additional_headers=headers)
    (closed,) = await guarded.closings()
    assert closed.payload["reason"] == "token_expired"
    with pytest.raises(ConnectionClosed) as ended:
        await client.recv()
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 4401


def test_an_error_tells_nothing_of_the_token() -> None:
    """What is said about a token holds no part of it."""
    token = tokens.sign(WRONG, "robot_1", lifetime=60)
    with pytest.raises(tokens.InvalidToken) as invalid:
        tokens.verify([SECRET], token)
    assert all(part not in str(invalid.value) for part in token.split("."))


def test_a_token_says_who_what_and_until_when() -> None:
    """Subject, scopes and expiry survive the signature."""
    signed = tokens.sign(SECRET, "grafana", scopes=["read"], lifetime=60, now=time.time())
    token = tokens.verify([SECRET], signed)
    assert (token.subject, token.scopes) == ("grafana", frozenset({"read"}))
    assert token.expires_at == pytest.approx(time.time() + 60 + tokens.LEEWAY, abs=2)
