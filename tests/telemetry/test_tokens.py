"""Robots' tokens at the handshake and on a living connection."""

import json
import time
from collections.abc import Sequence

import jwt
import pytest
from structlog.testing import capture_logs
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
        (_header("robot_1", lifetime=-62), 401),
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
    """The server picks another subprotocol that was offered, which browsers insist on."""
    token = tokens.sign(SECRET, "robot_1", lifetime=60)
    offered = [Subprotocol(f"bearer.{token}"), Subprotocol("charter")]
    client = await guarded.connect("robot_1", subprotocols=offered)
    assert client.subprotocol == "charter"


async def test_an_answer_never_repeats_the_token(guarded: Robots) -> None:
    """If the token's subprotocol is the only one that is offered, the answer names none."""
    token = tokens.sign(SECRET, "robot_1", lifetime=60)
    client = await guarded.connect("robot_1", subprotocols=[Subprotocol(f"bearer.{token}")])
    assert client.subprotocol is None
    assert client.response is not None
    assert token not in str(client.response.headers)


@pytest.mark.parametrize(
    ("scopes", "status"), [(("read",), 403), (("read", "write"), 403), (("read", "robot"), 101)]
)
async def test_a_token_for_rest_opens_no_robot_s_socket(
    guarded: Robots, scopes: Sequence[tokens.Scope], status: int
) -> None:
    """A token with scopes opens it only if ``robot`` is one of them, whatever its subject is."""
    token = tokens.sign(SECRET, "robot_1", scopes=scopes, lifetime=60)
    headers = {"Authorization": f"Bearer {token}"}
    if status == 101:
        await guarded.connect("robot_1", additional_headers=headers)
        return
    with pytest.raises(InvalidStatus) as refused:
        await guarded.connect("robot_1", additional_headers=headers)
    assert refused.value.response.status_code == status


@pytest.mark.parametrize(("ago", "accepted"), [(58, True), (62, False)])
def test_a_token_is_good_for_a_minute_more(ago: int, accepted: bool) -> None:
    """The issuer's clock may be a minute behind the service's."""
    now = time.time()
    expired = tokens.sign(SECRET, "robot_1", lifetime=60, now=now - 60 - ago)
    assert (_verified(expired) == "robot_1") is accepted
    issued_ahead = tokens.sign(SECRET, "robot_1", lifetime=600, now=now + ago)
    assert (_verified(issued_ahead) == "robot_1") is accepted


@pytest.mark.parametrize("missing", ["exp", "sub", "aud"])
async def test_a_token_without_a_claim_is_refused(guarded: Robots, missing: str) -> None:
    """A signed token that lacks expiry, subject or audience is invalid: 401, not an error."""
    claims = {"sub": "robot_1", "aud": "charter-otel", "exp": int(time.time()) + 600}
    del claims[missing]
    token = jwt.encode(claims, SECRET, "HS256")
    assert _verified(token) == "the token is not valid"
    with pytest.raises(InvalidStatus) as refused:
        await guarded.connect("robot_1", additional_headers={"Authorization": f"Bearer {token}"})
    assert refused.value.response.status_code == 401


async def test_a_robot_renews_its_token_on_the_living_connection(
    guarded: Robots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer tells until when the new token is good, and the connection outlives the old."""
    monkeypatch.setattr(tokens, "LEEWAY", 0.0)
    client = await guarded.connect("robot_1", additional_headers=_header("robot_1", lifetime=2))
    renewed = tokens.sign(SECRET, "robot_1", lifetime=600)
    await client.send(json.dumps({"type": "token", "token": renewed}))
    answer = json.loads(await client.recv())
    assert answer == {"type": "token", "expires_at": pytest.approx(time.time() + 600, abs=2)}
    await guarded.connect("robot_2", additional_headers=_header("robot_2", lifetime=2))
    (other,) = await guarded.closings()
    assert other.payload["robot_id"] == "robot_2", "the one whose token as good as that ended"


async def test_a_new_token_that_is_refused_changes_nothing(
    guarded: Robots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says why; the connection lives on until the old token expires."""
    monkeypatch.setattr(tokens, "LEEWAY", 0.0)
    client = await guarded.connect("robot_1", additional_headers=_header("robot_1", lifetime=2))
    for subject, secret in (("robot_2", SECRET), ("robot_1", WRONG)):
        stranger = tokens.sign(secret, subject, lifetime=600)
        await client.send(json.dumps({"type": "token", "token": stranger}))
        assert json.loads(await client.recv())["error"]["code"] == "invalid_token"
    assert not guarded.closed
    (closed,) = await guarded.closings()
    assert closed.payload["reason"] == "token_expired"


async def test_the_log_says_why_a_handshake_is_refused(guarded: Robots) -> None:
    """A line tells an expired token from another robot's."""
    with capture_logs() as lines:
        for headers in ({}, _header("robot_1", lifetime=-90), _header("robot_2")):
            with pytest.raises(InvalidStatus):
                await guarded.connect("robot_1", additional_headers=headers)
    assert [line["why"] for line in lines if line["event"] == "handshake refused"] == [
        "Present the robot's token.",
        "The token has expired.",
        "The token is not this robot's.",
    ]


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


def test_an_error_reveals_nothing_of_the_token() -> None:
    """Error texts about a token hold no part of it."""
    token = tokens.sign(WRONG, "robot_1", lifetime=60)
    with pytest.raises(tokens.InvalidToken) as invalid:
        tokens.verify([SECRET], token)
    assert all(part not in str(invalid.value) for part in token.split("."))


def test_a_token_holds_subject_scopes_and_expiry() -> None:
    """Subject, scopes and expiry survive the signature."""
    signed = tokens.sign(SECRET, "grafana", scopes=["read"], lifetime=60, now=time.time())
    token = tokens.verify([SECRET], signed)
    assert (token.subject, token.scopes) == ("grafana", frozenset({"read"}))
    assert token.expires_at == pytest.approx(time.time() + 120, abs=2)


def _verified(token: str) -> str:
    """Return whose token it is, or why it is refused."""
    try:
        return tokens.verify([SECRET], token).subject
    except tokens.InvalidToken as error:
        return str(error)
