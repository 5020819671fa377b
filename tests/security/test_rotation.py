"""Tokens as time goes by, at the real server: rotation of the secret, leeway, expiry."""

from collections.abc import Iterator

import httpx
import pytest

from charter_otel.tokens import sign
from support.service import ServiceProcess, service
from support.strangers import ask, upgrade

OLD, NEW = "o" * 40, "n" * 40
ROBOT = "/api/telemetry/ws/robot_1"
ROBOTS = "/api/telemetry/robots"


def _bearer(secret: str = NEW, lifetime: float = 3_600) -> dict[str, str]:
    token = sign(secret, "robot_1", scopes=["read", "robot"], lifetime=lifetime)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Yield a service with a secret."""
    with service(CHARTER_AUTH_SECRET=NEW) as running:
        yield running


@pytest.mark.parametrize(
    ("current", "previous", "old", "new"),
    [
        (OLD, "", True, False),
        (OLD, NEW, True, True),
        (NEW, OLD, True, True),
        (NEW, "", False, True),
    ],
)
def test_a_rotation_in_the_readme_s_order_refuses_nobody(
    current: str, previous: str, *, old: bool, new: bool
) -> None:
    """Step by step: old tokens are good until the last step, new ones from the first on."""
    secrets = {"CHARTER_AUTH_SECRET": current, "CHARTER_AUTH_SECRET_PREVIOUS": previous}
    with service(**secrets) as running:
        for secret, accepted in ((OLD, old), (NEW, new)):
            handshake = upgrade(running.http, ROBOT, _bearer(secret))
            read = ask(running.http, "GET", ROBOTS, _bearer(secret))
            assert (handshake.status, read.status) == ((101, 200) if accepted else (401, 401))


def test_clocks_may_differ_a_little(running: ServiceProcess) -> None:
    """A token that expired within the leeway is good, one that expired before it is not."""
    for lifetime, statuses in ((-57, (101, 200)), (-61, (401, 401))):
        handshake = upgrade(running.http, ROBOT, _bearer(lifetime=lifetime))
        read = ask(running.http, "GET", ROBOTS, _bearer(lifetime=lifetime))
        assert (handshake.status, read.status) == statuses


def test_an_expired_token_ends_a_reader_s_stream(running: ServiceProcess) -> None:
    """Events as they come are for those who may read now."""
    url = f"{running.http}/api/events/stream"
    with httpx.stream("GET", url, headers=_bearer(lifetime=-57), timeout=20) as response:
        assert response.status_code == 200
        assert "retry" in "".join(response.iter_text())
    again = ask(running.http, "GET", "/api/events/stream", _bearer(lifetime=-61))
    assert again.status == 401
