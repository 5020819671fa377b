"""The order of the checks, the origins, and what a refusal tells whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter_otel import tokens
from charter_otel.telemetry import Gateway, HandshakeRate, Limits
from charter_otel.telemetry.admission import Admitted, HandshakeRefusal, HandshakeRequest, admit
from charter_otel.telemetry.origins import is_foreign, is_origin

SECRET = "s" * 32


def _bearer(subject: str) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.sign(SECRET, subject, lifetime=60)}"}


def _outcome(gateway: Gateway, robot_id: str = "robot_1", **headers: str) -> str:
    verdict = admit(gateway, HandshakeRequest(robot_id, headers, (), "192.0.2.1"))
    return verdict.outcome if isinstance(verdict, HandshakeRefusal) else "accepted"


def test_a_stranger_does_not_learn_how_full_the_service_is() -> None:
    """Full or stopping, the answer without a token is the same; with a token it says which."""
    full = Gateway(secrets=(SECRET,), limits=Limits(max_connections=0))
    stopping = Gateway(secrets=(SECRET,), closing=True)
    assert {_outcome(full), _outcome(stopping), _outcome(Gateway(secrets=(SECRET,)))} == {
        "unauthorized"
    }
    assert _outcome(full, **_bearer("robot_1")) == "too_many_connections"
    assert _outcome(stopping, **_bearer("robot_1")) == "shutting_down"


def test_the_allowance_comes_before_everything() -> None:
    """A client that guesses tokens or ids is stopped by it, too."""
    gateway = Gateway(secrets=(SECRET,), handshakes=HandshakeRate(2))
    assert [_outcome(gateway, "-"), _outcome(gateway), _outcome(gateway, **_bearer("robot_1"))] == [
        "invalid_robot_id",
        "unauthorized",
        "rate_limited",
    ]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["charter.v1"], "charter.v1"),
        (["bearer.x.y.z", "charter.v1"], "charter.v1"),
        (["bearer.x.y.z"], None),
    ],
)
def test_a_token_is_never_sent_back(offered: list[str], chosen: str | None) -> None:
    """The header of the answer may be written down somewhere."""
    verdict = admit(Gateway(), HandshakeRequest("robot_1", {}, offered))
    assert isinstance(verdict, Admitted)
    assert verdict.subprotocol == chosen


@pytest.mark.parametrize(
    ("origin", "foreign"),
    [
        ("http://fleet.example", False),
        ("https://fleet.example", False),
        ("https://console.example", False),
        ("https://console.example.evil.example", True),
        ("http://console.example", True),
        ("https://fleet.example:8443", True),
        ("null", True),
        ("http://[", True),
        ("fleet.example", True),
        ("", False),
    ],
)
def test_pages_of_the_service_and_of_the_allowed_origins_may_connect(
    origin: str, *, foreign: bool
) -> None:
    """Any other origin may not; a client that is not a browser sends none."""
    headers = {"origin": origin, "host": "fleet.example"}
    assert is_foreign(headers, {"https://console.example"}) is foreign
    gateway = Gateway(allowed_origins=frozenset({"https://console.example"}))
    assert _outcome(gateway, **headers) == ("forbidden" if foreign else "accepted")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("https://console.example", True),
        ("http://127.0.0.1:8080", True),
        ("https://[2001:db8::1]:8443", True),
        ("https://console.example/", False),
        ("https://user@console.example", False),
        ("console.example", False),
        ("https://console.example:x", False),
        ("https://console .example", False),
        ("*", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, *, right: bool) -> None:
    """Nothing before, nothing after."""
    assert is_origin(text) is right


@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=200), st.lists(st.text()))
def test_any_handshake_gets_an_answer(
    robot_id: str, origin: str, authorization: str, subprotocols: list[str]
) -> None:
    """Any request is admitted or refused; nothing is raised, and only valid ids pass."""
    headers = {"origin": origin, "host": "h", "authorization": authorization}
    request = HandshakeRequest(robot_id, headers, subprotocols, "2001:db8::1")
    assert isinstance(admit(Gateway(secrets=(SECRET,)), request), HandshakeRefusal)


@pytest.mark.parametrize(
    ("value", "asks"),
    [
        *((value, True) for value in ("1", "true", "yes", "on", "TRUE")),
        *((value, False) for value in ("", "0", "false", "no", "off")),
    ],
)
def test_acknowledgements_are_asked_for_with_a_true_value(value: str, asks: bool) -> None:
    """The usual words for yes and no are understood."""
    verdict = admit(Gateway(), HandshakeRequest("robot_1", {}, (), query={"ack": value}))
    assert isinstance(verdict, Admitted)
    assert verdict.acknowledge is asks


def test_a_robot_that_means_something_else_gets_an_error() -> None:
    """An ``ack`` that is neither is refused with 400: a robot would wait for acks in vain."""
    verdict = admit(Gateway(), HandshakeRequest("robot_1", {}, (), query={"ack": "always"}))
    assert isinstance(verdict, HandshakeRefusal)
    assert (verdict.status, verdict.outcome) == (400, "invalid_query")
    assert "1, true, yes or on" in verdict.detail


@pytest.mark.parametrize(
    ("server", "host", "admitted"),
    [
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1", "localhost:8000", True),
        ("127.0.0.1", "LOCALHOST.", True),
        ("127.0.0.1", "charter.localhost", True),
        ("::1", "[::1]:8000", True),
        ("127.0.0.1", "evil.example:8000", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "[::1", False),
        ("::1", "localhost.evil.example", False),
        ("10.0.0.5", "fleet.example", True),
    ],
)
def test_without_a_secret_loopback_answers_to_its_own_names(
    server: str, host: str, *, admitted: bool
) -> None:
    """A page whose name was turned to this machine (DNS rebinding) reaches nothing."""
    request = HandshakeRequest("robot_1", {"host": host}, (), server=server)
    verdict = admit(Gateway(), request)
    assert isinstance(verdict, Admitted) is admitted
    assert isinstance(verdict, Admitted) or "localhost" in verdict.detail


def test_with_a_secret_any_name_may_ask() -> None:
    """The token says who asks, so that a proxy may keep the name."""
    gateway = Gateway(secrets=("s" * 40,))
    verdict = admit(
        gateway, HandshakeRequest("r", {"host": "fleet.example"}, (), server="127.0.0.1")
    )
    assert isinstance(verdict, HandshakeRefusal)
    assert verdict.status == 401
